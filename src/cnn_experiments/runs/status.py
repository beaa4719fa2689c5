"""The status of a run, and what is done next with a run that has it."""

from enum import Enum, StrEnum, auto


class Status(StrEnum):
    """The status of a run. The first four are written to results.json; the last two follow from the files."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """The run raised an error, or its process was killed; it can continue."""
    INTERRUPTED = "interrupted"
    """A signal, a batch system or a search stopped the run; it can continue."""
    NEW = "new"
    """There is no results.json yet."""
    DAMAGED = "damaged"
    """There is a results.json that cannot be read."""


STORED_STATUSES = (Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.INTERRUPTED)


class Action(Enum):
    """What is done with a run when its command is given."""

    START = auto()
    """Train from the first step."""
    RESUME = auto()
    """Continue from the last checkpoint, or from the first step if there is none."""
    RESTART = auto()
    """Put the checkpoints aside and train from the first step."""
    SKIP = auto()
    """Leave the run as it is."""
    WAIT = auto()
    """Leave the run to the process that works on it."""
    REJECT = auto()
    """Use another directory: this one holds something else."""
