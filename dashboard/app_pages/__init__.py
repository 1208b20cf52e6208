"""One screen each; `dashboard/main.py` lists them."""
