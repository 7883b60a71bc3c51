"""What users do, one use case per module: the only room that joins the others with real sources.

Each operation takes frozen values and gives a frozen result; it prints nothing and asks nobody. No
parsing of command lines, no rendering, and no knowledge of one file format belongs here.
"""
