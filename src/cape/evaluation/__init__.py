"""Evaluation: test collections, metrics, and what a ranking or an answer scores on them.

Owns reading test sets, the metrics, and the run files that other tools read. Every number here is
deterministic. Making an index or an answer is `knowledge`'s and `answers`'; bringing models, `operations`'.
"""
