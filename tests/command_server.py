"""Fork commands from one process that has already imported the package; `tests/commands.py` starts this process.

Each command runs like `python -m MODULE` in its own process, with its own working directory, environment and output, but
without the seconds that the imports take. The package's `__main__` modules are not imported here.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

MAX_MESSAGE = 2**20  # bytes

# Modules that the package imports only when it needs them.
LATE_IMPORTS = ("sklearn.datasets", "torch.utils.tensorboard")


def import_everything() -> None:
    """Import the modules of the package, except those whose import has an effect."""
    package = importlib.import_module("cnn_experiments")
    for module in pkgutil.walk_packages(package.__path__, "cnn_experiments."):
        if module.name.rpartition(".")[2] not in ("__main__", "forkserver_preload"):
            importlib.import_module(module.name)
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> dict[str, Any]:
    """Fork a process for each request, and report its process id and later its exit status.

    Returns:
        The request, in the forked process. The server itself ends here when the other end of `control` is closed.
    """
    running: dict[int, int] = {}  # process id by the descriptor that becomes readable when the process ends
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    pid, status = os.waitpid(running.pop(key.fd), 0)
                    control.send(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}).encode())
                    continue
                message, files, _, _ = socket.recv_fds(control, MAX_MESSAGE, 2)
                if not message:
                    for pid in running.values():
                        os.kill(pid, signal.SIGTERM)
                    os._exit(0)
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    control.close()
                    for descriptor in running:
                        os.close(descriptor)
                    return json.loads(message) | {"files": files}
                for file in files:
                    os.close(file)
                descriptor = os.pidfd_open(pid)
                running[descriptor] = pid
                selector.register(descriptor, selectors.EVENT_READ)
                control.send(json.dumps({"pid": pid}).encode())


def set_up_process(request: dict[str, Any]) -> None:
    """Give this process the working directory, environment, command line and output of a command."""
    import numpy as np
    import torch

    os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started the tests
    for source, target in zip(request["files"], (1, 2), strict=True):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [request["module"], *request["arguments"]]
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and threads != "0":  # torch read the variable when it was imported, and ignores other values
        torch.set_num_threads(int(threads))
    np.random.seed()  # noqa: NPY002 - else all commands draw the same numbers


def run(module: str) -> int:
    """Run a module as `python -m` does, and return its exit status, or the negative number of SIGINT after Ctrl-C."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exc()
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def exit_process(status: int) -> None:
    """End this process as the interpreter does, but without freeing every object, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # not the directory of this file: commands can be modules of `tests`
    import_everything()
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    set_up_process(request)
    exit_process(run(request["module"]))
