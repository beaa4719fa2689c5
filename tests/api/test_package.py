"""Tests of what `import cnn_experiments` offers, and of what it imports."""

import re
import subprocess
import sys

import pytest

import cnn_experiments


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_names_are_listed_for_completion() -> None:
    assert dir(cnn_experiments) == ["ConfigError", "LoadedRun", "RunFailedError", "load", "runs", "train"]
    assert all(hasattr(cnn_experiments, name) for name in cnn_experiments.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cnn_experiments.nothing  # noqa: B018


def test_import_of_the_package_imports_no_other_package() -> None:
    code = "import sys; import cnn_experiments; names = {name.partition('.')[0] for name in sys.modules}; print(names)"
    names = set(re.findall(r"'(\w+)'", run_python(code)))
    assert "cnn_experiments" in names
    assert names.isdisjoint(
        {"hydra", "lightning", "matplotlib", "numpy", "omegaconf", "pandas", "rich", "torch", "yaml"}
    )


@pytest.mark.parametrize("first", ["", "import cnn_experiments.runs.results; ", "from cnn_experiments import load; "])
def test_runs_can_be_called_whatever_was_imported_before(first: str) -> None:
    code = f"""{first}import cnn_experiments, sys
try:
    cnn_experiments.runs("/nonexistent")
except cnn_experiments.ConfigError as error:
    print(error)
print("torch" in sys.modules)"""
    problem = "must be a run's directory or contain some; no results.json found"
    assert run_python(code) == f"/nonexistent: {problem}\nFalse\n"
