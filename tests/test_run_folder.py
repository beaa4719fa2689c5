"""The files that tell how a run stands."""

import json
from pathlib import Path

import pytest

from cnn_experiments.run_folder import RunFolder, checkpoint_of, rounded


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
