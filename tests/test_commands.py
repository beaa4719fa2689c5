"""Tests that a command forked from the command server behaves like one in a new interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run, spawn


@pytest.mark.parametrize(
    "program",
    [
        "import os, sys; print(sys.argv, sys.path[0], __name__, __file__, os.getcwd(), os.environ['VALUE'])",
        "import signal; print(*(signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)))",
        "import multiprocessing, threading; print(multiprocessing.parent_process(), threading.active_count())",
        "import atexit; atexit.register(print, 'the end')",
        "import sys; sys.exit(3)",
        "import sys; sys.exit('the reason')",
        "import os; os._exit(7)",
        "raise ValueError('the reason')",
        "raise KeyboardInterrupt",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_forked_command_behaves_like_a_new_interpreter(tmp_path: Path, program: str) -> None:
    (tmp_path / "program.py").write_text(program)
    forked = run(tmp_path, "a", "b=c d", module="program", VALUE="1")
    cold = subprocess.run(
        [sys.executable, "-m", "program", "a", "b=c d"],
        cwd=tmp_path, env=os.environ | {"VALUE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (forked.args, forked.returncode, forked.stdout) == (cold.args, cold.returncode, cold.stdout)
    assert forked.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_running_command_can_be_polled_and_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import time; print('started', flush=True); time.sleep(60)")
    process = spawn(tmp_path, module="program")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.1)
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=600)
    assert process.returncode == process.poll() == -9
