"""`python -m cape` is the `cape` command."""

from cape.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
