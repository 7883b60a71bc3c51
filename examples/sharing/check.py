"""The gate of production: the report must come out, and be right."""

from __future__ import annotations

import sys

from report import report

EXPECTED = "2004d < 1.9 < 1.10 < 2.0rc1"

found = report()
if found != EXPECTED:
    sys.exit(f"the report changed: {found}")
print("the report is as it should be")
