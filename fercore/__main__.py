"""`python -m fercore`: the command line, where its script is not on the path."""

from fercore.cli import main

main()
