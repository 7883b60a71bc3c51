"""The index of a knowledge base on disk: chunks, words, vectors, groups and generations.

Owns how chunks are kept, found by words and by vectors, and versioned. `words` and `vectors` are pure
functions on arrays and read no file. Reading documents, embedding texts, and fusing or wording answers
must never be put here.
"""
