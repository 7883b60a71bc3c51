"""The command line as text: what each command says, its exit code, its JSON; and the pages about it.

`CAPE_UPDATE_SNAPSHOTS=1 make test` writes `snapshots/` anew; read the difference before you commit it.
"""
