"""The Run page: one run in full."""
