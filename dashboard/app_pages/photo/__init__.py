"""The Photo page: predictions on uploaded photos."""
