"""Run commands as a user types them, each in its own process."""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.command_server import MAX_MESSAGE

SERVER = Path(__file__).with_name("command_server.py")


class CommandServer:
    """A process that has imported the package, and from which commands are forked.

    Args:
        python_path: The PYTHONPATH from which the package is imported; an interpreter reads it only when it starts.
    """

    def __init__(self, python_path: str) -> None:
        self._control, server_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        environment["PYTHONPATH"] = python_path
        self._process = subprocess.Popen(
            [sys.executable, SERVER, str(server_socket.fileno())],
            env=environment, stdin=subprocess.DEVNULL, pass_fds=[server_socket.fileno()], start_new_session=True,
        )  # fmt: skip
        server_socket.close()
        self._statuses: dict[int, int] = {}
        atexit.register(self._end)

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> int:
        """Start a command, and return its process id."""
        socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        while True:
            report = self._receive(timeout=None)
            if report is not None and "status" not in report:
                return int(report["pid"])

    def wait(self, pid: int, timeout: float | None) -> int | None:
        """Return the exit status of a command, as subprocess does, or None if it still runs after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while pid not in self._statuses:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._receive(remaining) is None:
                return None
        return self._statuses[pid]

    def _end(self) -> None:
        self._control.close()
        self._process.wait()

    def _receive(self, timeout: float | None) -> dict[str, Any] | None:
        if not select.select([self._control], [], [], timeout)[0]:
            return None
        message = self._control.recv(MAX_MESSAGE)
        assert message, "the command server has ended"
        report: dict[str, Any] = json.loads(message)
        if "status" in report:
            self._statuses[report["pid"]] = report["status"]
        return report


@functools.cache
def command_server(python_path: str) -> CommandServer:
    """Start the server of a PYTHONPATH at the first call, and return it; it ends with this process."""
    return CommandServer(python_path)


class Command:
    """A running command, with the part of the interface of `subprocess.Popen` that the tests use."""

    def __init__(self, cwd: Path, module: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._server = command_server(environment.get("PYTHONPATH", ""))
        self.args = [sys.executable, "-m", module, *arguments]
        request = {"module": module, "arguments": arguments, "cwd": str(cwd), "environment": environment}
        descriptors, paths = zip(*(tempfile.mkstemp() for _ in ("stdout", "stderr")), strict=True)
        self.pid = self._server.fork(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._outputs = [Path(path) for path in paths]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None if the command still runs."""
        if self.returncode is None:
            self.returncode = self._server.wait(self.pid, timeout=0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the command, and return its exit status."""
        if self.returncode is None:
            self.returncode = self._server.wait(self.pid, timeout)
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end of the command, and return its standard output and its standard error."""
        self.wait(timeout)
        stdout, stderr = (path.read_text() for path in self._outputs)
        for path in self._outputs:
            path.unlink()
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        """Send a signal if the command still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command if it still runs."""
        self.send_signal(signal.SIGKILL)


Process = Command | subprocess.Popen[str]


def spawn(cwd: Path, *arguments: str, module: str = "cnn_experiments", **environment: str) -> Process:
    """Start `python -m MODULE ARGUMENTS` in a directory, with additional environment variables."""
    variables = os.environ | environment
    if sys.platform == "linux":
        return Command(cwd, module, arguments, variables)
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_while_running(poll: Callable[[], int | None], *, until: Callable[[], bool]) -> None:
    """Wait until something is true of a running command; `poll` returns None, or its exit status if it has ended."""
    while not until():
        status = poll()
        assert status is None, f"the command has ended with status {status}"
        time.sleep(0.01)


def run(
    cwd: Path, *arguments: str, module: str = "cnn_experiments", **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m MODULE ARGUMENTS` in a directory, and wait for its end."""
    process = spawn(cwd, *arguments, module=module, **environment)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)
