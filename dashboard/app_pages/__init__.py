"""One screen each; `dashboard/app.py` lists them."""
