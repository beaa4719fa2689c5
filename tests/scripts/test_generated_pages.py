"""Tests of when the generated parts of the docs are made again, and that nothing else stays beside them."""

from pathlib import Path

import generated_pages
import pytest
from generated_pages import CACHE, hash_of_code, write_generated_pages


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace what is made, and return the list of the calls that take long."""
    calls: list[str] = []

    def slow_parts() -> dict[str, str]:
        calls.append("slow")
        return {"networks/table": f"table {len(calls)}"}

    monkeypatch.setattr(generated_pages, "slow_parts", slow_parts)
    monkeypatch.setattr(generated_pages, "results_tables", lambda: {"BN-LeNet": "results"})
    monkeypatch.setattr(generated_pages, "benchmark_parts", lambda _: {"gpu": "images"})
    monkeypatch.setattr(generated_pages, "files_table", lambda: "files")
    monkeypatch.setattr(generated_pages, "keys_table", lambda: "keys")
    monkeypatch.setattr(generated_pages, "hash_of_code", lambda *_: "1")
    return calls


def contents(directory: Path) -> dict[str, str]:
    """Return the content of every part by its path."""
    return {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*.md")}


PARTS = {
    "benchmarks/gpu.md": "images\n",
    "networks/table.md": "table 1\n",
    "results/bn-lenet.md": "results\n",
    "run_directory/files.md": "files\n",
    "run_directory/keys.md": "keys\n",
}


def test_slow_parts_are_made_again_only_after_a_change(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_generated_pages(tmp_path)
    write_generated_pages(tmp_path)
    assert (contents(tmp_path), calls) == (PARTS, ["slow"])
    monkeypatch.setattr(generated_pages, "hash_of_code", lambda *_: "2")
    write_generated_pages(tmp_path)
    assert (contents(tmp_path), calls) == (PARTS | {"networks/table.md": "table 2\n"}, ["slow", "slow"])


def test_deleted_and_changed_parts_are_written_again(tmp_path: Path, calls: list[str]) -> None:
    write_generated_pages(tmp_path)
    (tmp_path / "networks" / "table.md").unlink()
    (tmp_path / "results" / "bn-lenet.md").write_text("other\n")
    write_generated_pages(tmp_path)
    assert (contents(tmp_path), calls) == (PARTS, ["slow"])


def test_parts_that_nothing_makes_any_more_are_removed(tmp_path: Path, calls: list[str]) -> None:
    write_generated_pages(tmp_path)
    (tmp_path / "results" / "lenet.md").write_text("results\n")
    (tmp_path / "networks" / "sources.sha256").write_text("1")
    write_generated_pages(tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert (files, calls) == ({*PARTS, CACHE}, ["slow"])


@pytest.mark.parametrize("changed", ["a.py", "conf/b.yaml", "c.jinja"])
def test_hash_of_code_is_that_of_all_its_files(tmp_path: Path, changed: str) -> None:
    (tmp_path / "conf").mkdir()
    for name in ("a.py", "conf/b.yaml", "c.jinja", "d.pyc"):
        (tmp_path / name).write_text("1")
    expected = hash_of_code(tmp_path)
    (tmp_path / "d.pyc").write_text("2")
    assert hash_of_code(tmp_path) == expected
    (tmp_path / changed).write_text("2")
    assert hash_of_code(tmp_path) != expected
