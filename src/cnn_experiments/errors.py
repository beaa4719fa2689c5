"""The two ways in which a command ends without a result, other than a bug."""


class Refusal(ValueError):  # noqa: N818
    """Bad input, told in one line that names the setting, its value and what is allowed; exit status 2."""


class RunFailedError(RuntimeError):
    """A run that could not go on for a reason that one line explains; exit status 1."""
