"""`python -m pipeline` is the `deltapress` command."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
