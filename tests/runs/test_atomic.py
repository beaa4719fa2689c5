"""Tests of replacing a file only when the new content is complete."""

from pathlib import Path

import pytest

from cnn_experiments.runs.atomic import atomic_write, atomic_write_bytes


def test_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_file_stays_as_it_was_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(str(1 / 0))
    assert path.read_text() == "old"


def test_bytes_replace_a_link_and_what_is_left_of_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    (tmp_path / "mine").write_text("mine")
    path.symlink_to("mine")
    (tmp_path / "picture.svg.writing").symlink_to("mine")
    atomic_write_bytes(path, b"new")
    assert (path.read_bytes(), path.is_symlink()) == (b"new", False)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine", "picture.svg"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_nothing_is_left_of_bytes_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_write_bytes(tmp_path / "directory", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["directory"]
