"""Standard output and standard error that never end the program, so that a run outlives its terminal and its pipe."""

import io
import logging
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class LossyDescriptor(io.RawIOBase):
    """A file descriptor that takes all bytes, and drops those that can't be written.

    The reader of a pipe may have ended (`| head -1`), the terminal may be lost, the disk may be full.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True: it takes everything."""
        return True

    def write(self, data: Any, /) -> int:
        """Write some of the bytes, or drop all of them, and return how many."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another program has made the terminal non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                return memoryview(data).nbytes


class LossyStream(io.TextIOWrapper):
    """A text stream on a lossy descriptor, which stays open until its process ends."""

    def close(self) -> None:
        """Write what is buffered; code of the user may close `sys.stdout`, and what follows is still printed."""
        self.flush()


@contextmanager
def lossy_output() -> Iterator[None]:
    r"""Let nothing that is printed in this context end the program, whatever happens to its output.

    Characters that the encoding lacks are written as escapes such as `\xb1`. The standard descriptors that were closed
    become the null device, so that no file that is opened later gets their numbers.
    """
    for descriptor in (0, 1, 2):
        _open_null_device_if_closed(descriptor)
    stdout, stderr, raise_exceptions = sys.stdout, sys.stderr, logging.raiseExceptions
    sys.stdout, sys.stderr = _lossy(stdout, sys.__stdout__, 1), _lossy(stderr, sys.__stderr__, 2)
    logging.raiseExceptions = False  # a handler that can't write prints a traceback otherwise
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr, logging.raiseExceptions = stdout, stderr, raise_exceptions


def _open_null_device_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one


def _lossy(stream: TextIO | None, original: TextIO | None, descriptor: int) -> TextIO:
    """Return a stream to take the place of a standard stream; one that was replaced before stays as it is."""
    if stream is not None and stream is not original:
        return stream
    encoding, line_buffering = "utf-8", False
    if isinstance(stream, io.TextIOWrapper):
        stream.flush()
        encoding, line_buffering = stream.encoding, stream.line_buffering
    buffer = io.BufferedWriter(LossyDescriptor(descriptor))
    return LossyStream(buffer, encoding=encoding, errors="backslashreplace", line_buffering=line_buffering)
