"""The Runs page: the table of runs, and actions on them."""
