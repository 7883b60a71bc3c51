"""Serving a model over http: the program that does it inside an environment, and the table of its service.

Owns `llama` (a program that the environment's own Python runs; it imports nothing of cape) and `tables` (what
a service says that runs it, or vLLM). Which file is meant, what it takes and whether that is there must never
be decided here.
"""

from __future__ import annotations
