"""`fercore data`: add datasets, list what is installed."""

import typer

app = typer.Typer(help="Add datasets and list what is installed.", no_args_is_help=True)
