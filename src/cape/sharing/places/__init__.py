"""Where environments are shared: a directory, a git branch, a static http tree, a bucket.

Owns the `Place` Protocol and which kind of place a text names. A place keeps named bytes; what they mean is
the ledger's.
"""

from __future__ import annotations

from cape.sharing.places.protocol import Place, open_place, without_login

__all__ = ["Place", "open_place", "without_login"]
