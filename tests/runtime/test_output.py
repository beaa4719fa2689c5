"""Tests of output that can't be written: each program runs in a process of its own, with another standard output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, os, sys
from cnn_experiments.runtime.output import lossy_output
with lossy_output():
    logging.basicConfig(stream=sys.stdout)
    for number in range(3):
        print("line", number, "\\u00b1", flush=True)
        sys.stdout.close()
        logging.warning("line %d", number)
    opened = os.open("opened", os.O_CREAT | os.O_WRONLY)
    with open("done", "w") as file:
        print(opened, sys.stdout.encoding, file=file)
"""


def run(cwd: Path, redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a shell with its output redirected, and return the status of the program itself."""
    command = f'set -o pipefail; "{sys.executable}" -c "$PROGRAM" {redirection}'
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=os.environ | {"PROGRAM": PROGRAM} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "redirection", ["| head -1", "| true", ">/dev/full", ">/dev/full 2>&1", ">&-", ">&- 2>&-", "<&- >&- 2>&-", ""]
)
def test_program_completes_whatever_happens_to_its_output(tmp_path: Path, redirection: str) -> None:
    completed = run(tmp_path, redirection)
    assert (completed.returncode, completed.stderr) == (0, "")
    opened, _ = (tmp_path / "done").read_text().split()
    assert int(opened) > 2  # a file never gets the number of a closed standard stream
    assert (tmp_path / "opened").read_text() == ""


def test_characters_that_the_encoding_lacks_are_escaped(tmp_path: Path) -> None:
    completed = run(tmp_path, "", PYTHONIOENCODING="ascii")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines()[0] == r"line 0 \xb1"
    assert (tmp_path / "done").read_text().split()[1] == "ascii"
