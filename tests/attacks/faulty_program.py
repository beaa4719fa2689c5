"""The program with a fault at a chosen file operation: `python -m tests.attacks.faulty_program` in place of its name.

The environment variable ATTACK holds what is to happen, as JSON; see `Fault`. File operations are those on files below
the working directory that change something, counted from 1.
"""

import json
import os
import resource
import runpy
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROGRAM = "cnn_experiments"
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate", "os.chmod")


@dataclass(frozen=True)
class Fault:
    """What happens at a file operation.

    Args:
        operation: the number of the operation; 0 lets all of them pass.
        signal: what the process sends itself before the operation, unless one of the next four is given.
        kill_after_bytes: kills the process as soon as a file grows beyond.
        filler: a file that is written until its file system is full; the process goes on.
        bytes_left: what the filler leaves free.
        largest_file: from then on, no file can have more bytes.
        record: a file to which every operation is written.
        closed: the descriptors that are closed when the program starts.
        ignored: the signals that are ignored when the program starts, as SIGHUP is by nohup.
    """

    operation: int = 0
    signal: int = signal.SIGKILL
    kill_after_bytes: int | None = None
    filler: str | None = None
    bytes_left: int = 0
    largest_file: int | None = None
    record: str | None = None
    closed: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables of a process with this fault."""
        return {"ATTACK": json.dumps(asdict(self))}


def install(fault: Fault) -> None:
    """Watch the file operations of this process."""
    directory = Path.cwd()
    num_operations = 0
    is_busy = False  # the fault's own operations are not counted

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal num_operations, is_busy
        if is_busy or event not in _EVENTS or (path := _changed_path(event, arguments, directory)) is None:
            return
        is_busy = True
        num_operations += 1
        if fault.record is not None:
            with Path(fault.record).open("a") as file:
                file.write(f"{event} {path}\n")
        if num_operations == fault.operation:
            _strike(fault)
        is_busy = False

    sys.addaudithook(hook)


def _changed_path(event: str, arguments: tuple[Any, ...], directory: Path) -> Path | None:
    """Return what a file operation changes, relative to a directory, or None if it changes nothing below it."""
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    if event == "open" and not arguments[2] & _WRITING_FLAGS:
        return None
    path = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - follows no link
    return path.relative_to(directory) if path.is_relative_to(directory) else None


def _strike(fault: Fault) -> None:
    largest_file = fault.kill_after_bytes if fault.largest_file is None else fault.largest_file
    if fault.filler is not None:
        fill_disk(Path(fault.filler), fault.bytes_left)
    elif largest_file is None:
        os.kill(os.getpid(), fault.signal)
    else:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, most))


def fill_disk(filler: Path, bytes_left: int) -> None:
    """Write a file until its file system has only some bytes left."""
    space = os.statvfs(filler.parent)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        file.write(bytes(max(0, space.f_bavail * space.f_frsize - bytes_left)))
        while bytes_left == 0 and file.write(bytes(4096)):
            pass


def main() -> None:
    fault = Fault(**json.loads(os.environ.pop("ATTACK")))
    for descriptor in fault.closed:  # as the interpreter finds it after `>&-`
        os.close(descriptor)
        name = ("stdin", "stdout", "stderr")[descriptor]
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)
    for number in fault.ignored:
        signal.signal(number, signal.SIG_IGN)
    if fault.kill_after_bytes is not None:  # the interpreter ignores the signal of a file that is too large
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    install(fault)
    sys.argv[0] = PROGRAM
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
