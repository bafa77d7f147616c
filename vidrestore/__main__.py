"""``python -m vidrestore`` is the command line."""

from vidrestore.cli import main

main()
