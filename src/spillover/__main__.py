"""``python -m spillover``."""

from spillover.cli.app import main

main()
