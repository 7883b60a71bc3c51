"""Questions over the rows of tables, answered by a query: sums, counts, means, extremes, comparisons.

Owns reading cells as numbers and dates, matching a question with a table's columns and values, the query,
and the answer with the cells that it is made of. A question that does not fit one table in every word gets
nothing from here. Finding tables and ranking passages never belong here.
"""

RULES_VERSION = 1
"""Raised when the same question over the same tables gets another answer."""
