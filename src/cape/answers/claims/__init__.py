"""Claims: whether what an answer says stands in the evidence that it cites.

Owns cutting an answer into claims, the rules about numbers, units, dates, names, records and negation, the
alignment of a claim with the evidence, the features of both, and the verdict of trained weights that are
data files here. It is handed texts and, if there is one, an embedder; it reads no other file, trains nothing
(`training/claims.py` does), and never says that something is true, only whether it is supported.
"""
