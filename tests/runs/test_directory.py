"""The files that tell how a run stands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import RunFolder, Standing, checkpoint_of, hold, is_free, release, rounded


def test_facts_add_up_and_replace_each_other(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.record(status="running", error=None)
    folder.record(status="completed", metrics={"test/loss": float("inf"), "test/acc": 0.7669000029563904})
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "status": "completed",
        "error": None,
        "metrics": {"test/loss": None, "test/acc": 0.7669},
    }


def test_results_stay_whole_where_writing_fails(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.record(status="running")
    with pytest.raises(TypeError, match="not JSON serializable"):
        folder.record(status=object())
    assert json.loads((tmp_path / "results.json").read_text()) == {"status": "running"}


def test_best_checkpoint_comes_along_with_the_resumed_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        path.mkdir()
        with RunFolder(path).claimed("same"):
            pass
    resumed = RunFolder(old)
    resumed.best.write_bytes(b"best")
    RunFolder(new).adopt_best(checkpoint_of(old))
    assert RunFolder(new).best.read_bytes() == b"best"
    resumed.best.write_bytes(b"changed")
    assert RunFolder(new).best.read_bytes() == b"best"


def test_a_folder_stands_for_its_last_checkpoint(tmp_path: Path) -> None:
    assert checkpoint_of(tmp_path) == tmp_path / "checkpoints" / "last.ckpt"
    assert checkpoint_of(tmp_path / "some.ckpt") == tmp_path / "some.ckpt"


@pytest.mark.parametrize(
    ("value", "shorter"), [(0.1 + 2**-30, 0.1), (123456.789, 123456.8), (1e-12, 1e-12), (0.0, 0.0)]
)
def test_rounded(value: float, shorter: float) -> None:
    assert rounded(value) == shorter


HOLD = """
import sys
from pathlib import Path
from cnn_experiments.runs.directory import hold
print(hold(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_until_it_ends(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"status": "running"}')
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    assert Standing.of(tmp_path).status == "running"
    assert not hold(tmp_path)
    with pytest.raises(RunFailedError, match="another process is at work"), RunFolder(tmp_path).claimed("same"):
        pass
    other.kill()
    other.communicate()
    assert Standing.of(tmp_path).status == "interrupted"
    assert hold(tmp_path)
    release(tmp_path)


@pytest.mark.parametrize(
    ("written", "status", "by_signal"),
    [
        (None, "new", False),
        ('{"status": "compl', "damaged", False),
        ("[]", "damaged", False),
        ('{"status": "completed"}', "completed", False),
        ('{"status": "running"}', "interrupted", True),
        ('{"status": "failed", "error": "SIGKILL"}', "failed", True),
        ('{"status": "failed", "error": "ValueError: SIGKILL"}', "failed", False),
    ],
)
def test_how_a_run_stands(tmp_path: Path, written: str | None, status: str, by_signal: bool) -> None:
    if written is not None:
        (tmp_path / "results.json").write_text(written)
    standing = Standing.of(tmp_path)
    assert (standing.status, standing.ended_by_signal) == (status, by_signal)


@pytest.mark.parametrize(("error", "kept"), [("SIGKILL", True), ("ZeroDivisionError: division by zero", False)])
def test_what_was_killed_goes_on_and_what_raised_starts_over(tmp_path: Path, error: str, kept: bool) -> None:
    folder = RunFolder(tmp_path)
    with folder.claimed("same"):
        folder.last.write_bytes(b"last")
        folder.record(status="failed", identity="same", error=error, epochs=3)
    (tmp_path / "run.log").write_text("why")
    (tmp_path / "events.out.tfevents.1").touch()
    again = RunFolder(tmp_path)
    with again.claimed("same"):
        assert (again.begun is not None, again.facts.get("epochs")) == ((True, 3) if kept else (False, None))
    assert (tmp_path / "events.out.tfevents.1").exists() == kept
    assert (tmp_path / "run.log").read_text() == "why"


def test_a_folder_of_something_else_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "run.log").touch()
    assert is_free(tmp_path)
    (tmp_path / "thesis.tex").touch()
    assert not is_free(tmp_path)
