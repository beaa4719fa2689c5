"""Tests that the reference of the documentation is complete."""

import re

from cnn_experiments.config.hydra_internals import flag_names
from cnn_experiments.config.sources import CONF
from cnn_experiments.runtime.signals import SIGNALS
from tests.conftest import ROOT

DOCS = ROOT / "docs"
COMMAND_LINE = (DOCS / "reference" / "command_line.md").read_text()

READ_VARIABLE = re.compile(
    r"""(?:os\.environ\.get\(|os\.environ\.setdefault\(|environment\.setdefault\(|os\.environ\[)"(\w+)"|\$\{oc\.env:(\w+)"""
)
OF_THE_PROGRAM = {"HYDRA_FULL_ERROR"}
"""Variables that the program sets for itself, whatever they are."""
OF_LAUNCHERS = {"SLURM_JOB_NAME", "SLURM_RESTART_COUNT"}
"""Variables of torchrun and Slurm, which the page names together."""


def test_every_flag_is_on_the_page() -> None:
    assert [flag for flag in flag_names() if not re.search(rf"`{flag}[` ]", COMMAND_LINE)] == []


def test_every_environment_variable_is_on_the_page() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *CONF.rglob("*.yaml")]
    names = {name for path in files for match in READ_VARIABLE.findall(path.read_text()) for name in match if name}
    assert {"CNN_EXPERIMENTS_DATA", "XDG_CACHE_HOME", "CUDA_VISIBLE_DEVICES"} <= names
    assert {name for name in names - OF_THE_PROGRAM - OF_LAUNCHERS if f"`{name}`" not in COMMAND_LINE} == set()


def test_page_has_the_exit_status_of_every_signal() -> None:
    by_users = [signal for signal in SIGNALS if signal.name != "SIGUSR2"]  # which Slurm sends to a job that it requeues
    rows = [line for line in COMMAND_LINE.splitlines() if line.startswith("| 1") and "SIG" in line]
    assert {(int(row.split("|")[1]), re.search("SIG[A-Z]+", row)[0]) for row in rows} == {
        (128 + signal, signal.name) for signal in by_users
    }


def test_python_page_has_every_name_of_the_package() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    names = {"load", "train", "LoadedRun", "ConfigError", "RunFailedError"}
    assert {name for name in names if f":: cnn_experiments.{name}" not in page} == set()
    assert ":: cnn_experiments.api.run_list.runs\n" in page
