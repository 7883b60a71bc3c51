"""Answers: a question becomes passages, sentences and a verdict, each with where it stands.

Owns retrieving for a question, choosing what answers it, and saying "not found" instead of guessing. It
asks an index and an embedder through `knowledge`'s Protocols; it reads no file, opens no model, and knows
no project. What is on disk and who sees it is `knowledge`'s.
"""
