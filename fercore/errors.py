"""The one exception that is meant to be read by a user."""


class UserError(ValueError):
    """Something a user gave cannot be used.

    The message is one line: what was received, what was expected, and how to mend it. The command
    line prints it after `fercore: error:` and exits with status 2; a dashboard page shows it in
    place. Everything else that is raised is a defect of this package.
    """


class DivergedError(UserError):
    """The loss of a training or the outputs of its network are no longer finite numbers."""
