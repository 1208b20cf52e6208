"""Exceptions with messages for the user: `UserError` and `DivergedError`."""


class UserError(ValueError):
    """Raised when a file, an option or a value from the user cannot be used.

    The message is one line: what was received, what was expected, and how to fix it. The command
    line prints it after `fercore: error:` and exits with status 2; a dashboard page shows it in
    place. Any other exception is a defect of this package.
    """


class DivergedError(UserError):
    """Raised when the loss or the outputs of a network in training are no longer finite."""
