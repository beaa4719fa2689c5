"""What is written down about a run's surroundings."""

import subprocess
from pathlib import Path

import pytest
import torch

from cnn_experiments.runtime import environment as provenance

CPU = torch.device("cpu")


def test_commit_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert provenance.git_commit() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.git_commit() == head
    (tmp_path / "file").write_text("two")
    assert provenance.git_commit() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() is None


def test_peak_memory_starts_anew() -> None:
    provenance.restart_peak_memory(CPU)
    before = provenance.peak_memory(CPU)
    block = torch.ones(2**26)  # 256 MiB
    peak = provenance.peak_memory(CPU)
    assert 200 * 2**20 < peak - before < 320 * 2**20
    del block
    assert provenance.peak_memory(CPU) == pytest.approx(peak, rel=0.01)


def test_device_and_versions() -> None:
    assert provenance.device_name(CPU).startswith("cpu (")
    assert provenance.versions().keys() >= {"python", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core"}
