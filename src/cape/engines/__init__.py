"""Adapters for the AI engines that run on this machine: behind each one of `knowledge`'s Protocols.

Owns how an engine is started, fed and stopped, and turns its exceptions into cape's: no type and no error
of another library leaves this room. Engines are imported when one is opened. What is embedded or asked,
and where model files come from, must never be decided here.
"""
