"""Routing: which writer answers a question, by its difficulty, what it may cost, and what it may see.

Owns how difficulty is estimated, the table of writers, the policy, and the budget that is reserved before a
call. It calls no writer: whoever routes hands in the call. What a question is about is never a feature.
"""
