"""The two ways in which a command ends without a result, other than a bug, and what to say of other people's."""

import sysconfig
import traceback
from pathlib import Path

_NOT_THE_USERS = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")


class Refusal(ValueError):  # noqa: N818
    """Bad input, told in one line that names the setting, its value and what is allowed; exit status 2."""


class RunFailedError(RuntimeError):
    """A run that could not go on for a reason that one line explains; exit status 1."""


def in_one_line(error: BaseException) -> str:
    """The kind of error, what it says, and where in the user's own code it came up."""
    own = [
        f" ({Path(frame.filename).name}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_NOT_THE_USERS)
    ]
    return " ".join(f"{type(error).__name__}: {error}".split()) + "".join(own[-1:])
