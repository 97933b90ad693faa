"""`python -m anexa` is `anexa`."""

from anexa.cli.main import main

main()
