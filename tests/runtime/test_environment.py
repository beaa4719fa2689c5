"""Tests of recording a run's environment."""

import importlib.metadata
import subprocess
from pathlib import Path

import pytest
import torch

from cnn_experiments.runtime.environment import device_name, git_commit, versions


def test_commit_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert git_commit() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert git_commit() == head
    (tmp_path / "file").write_text("two")
    assert git_commit() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None


def test_device_name_has_the_type_and_the_model() -> None:
    assert device_name(torch.device("cpu")).startswith("cpu (")


def test_versions_of_the_packages() -> None:
    assert versions().keys() >= {"python", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core"}


def test_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    installed_version = importlib.metadata.version

    def version(name: str) -> str:
        if name == "cnn_experiments":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed_version(name)

    all_versions = versions()
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert versions() == {name: number for name, number in all_versions.items() if name != "cnn_experiments"}
