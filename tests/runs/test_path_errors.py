"""Tests of what the file system says of a directory."""

import os
from pathlib import Path

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.path_errors import check_directory


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("file", "must be a directory; a part of the path is a file"),
        ("file/below/this", "must be a directory; a part of the path is a file"),
        ("dangling/x", "must be a directory; a part of the path is a file, or a link to nothing"),
        ("loop", "must be a directory; a part of the path is a file, or a link to nothing"),
        ("x" * 300, "must be a shorter path; this file system does not allow such a long one"),
    ],
)
def test_directory_that_cannot_be_made_is_rejected(tmp_path: Path, path: str, problem: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError) as error:
        check_directory("hydra.sweep.dir", tmp_path / path, must_be_writable=False)
    assert (error.value.key, error.value.value, error.value.problem) == ("hydra.sweep.dir", tmp_path / path, problem)


def test_directory_need_be_writable_only_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    check_directory("hydra.sweep.dir", tmp_path / "new" / "sweep", must_be_writable=False)
    with pytest.raises(ConfigError, match="can't be used: Permission denied"):
        check_directory("hydra.sweep.dir", tmp_path / "new" / "sweep", must_be_writable=True)
    assert list(tmp_path.iterdir()) == []


def test_control_characters_are_rejected() -> None:
    with pytest.raises(ConfigError) as error:
        check_directory("hydra.sweep.dir", Path("a\nb"), must_be_writable=False)
    assert str(error.value) == r"hydra.sweep.dir='a\nb': must not have control characters"
