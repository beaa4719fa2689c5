"""The command as a user types it, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

from tests.stored_runs import MakeRun


def report(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cnn_experiments.report", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_ledger_is_printed_and_written(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.75, 0.76, 0.77)):
        curve = {"epoch": [1, 2], "test/acc": [0.6, accuracy], "val/acc": [0.6, accuracy]}
        make_run(f"adam{seed}", "book/adam/lenet_bn_scratch", seed, accuracy, curves=curve)
        make_run(f"best{seed}", "best/lenet_bn", seed, accuracy, curves=curve)
        make_run(f"sgd{seed}", "book/sgd/lenet_bn", seed, accuracy, curves=curve)
        make_run(f"lenet{seed}", "book/sgd/lenet", seed, accuracy, curves=curve)
    (make_run("damaged", "book/sgd/lenet", 7) / "results.json").write_text("{")
    done = report(tmp_path, "--published", "runs", "--markdown", "ledger.md")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert "on cpu (AMD EPYC)" in said
    assert re.search(r"│ book/adam/lenet_bn_scratch +│ .855 \(N2\), .859 \(P\), band \[.692, .897\] +│ .760 ", said)
    assert re.search(r"│ book/sgd/lenet +│ .806 \[.774, .824\] of 182, best .828 +│ .760 .* │ outside, below +│", said)
    assert re.search(
        r"│ best/lenet_bn +│ .894, the best of its network +│ .760 \[.750, .770\] of 3, sd .0100 │ not above +│", said
    )
    assert "book/adam/lenet_bn_scratch: .751 (N1) is not compared, its network has an error: no batch norm" in said
    assert re.search(r"damaged: runs/damaged/results.json: JSONDecodeError: Expecting property name", said)
    assert said.splitlines()[-2:] == ["recipes with reported results but without runs: 37", "written: ledger.md"]

    written = (tmp_path / "ledger.md").read_text()
    assert (
        "| `python -m cnn_experiments -m experiment=book/sgd/lenet seed=0,1,2` | .806 [.774, .824] of 182, best .828 | .760 [.750, .770] of 3, sd .0100 | outside, below |"
        in written
    )
    assert "| 2026-11-22; torch 2.15.0, lightning 2.6.6; commit 0123456 |" in written
    assert (
        "| `python -m cnn_experiments experiment=book/sgd/nin` | .845 [.100, .878] of 102, best .885 | not measured |"
        in written
    )
    pictures = re.findall(r"^!\[.*\]\((.*)\)$", written, re.MULTILINE)
    assert pictures == ["ledger/bn-lenet.png", "ledger/lenet.png"]
    assert all((tmp_path / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_bad_input_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run", "book/sgd/lenet")
    nothing = report(tmp_path, "--published", "outputs")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr == (
        "outputs: must be a run's folder or one with runs below it; there is no results.json yet\n"
    )
    nowhere = report(tmp_path, "--published", "runs", "--markdown", "docs/ledger.md")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert nowhere.stderr == (
        "--markdown=docs/ledger.md: must be a file name that ends in .md, in an existing directory\n"
    )
    assert not (tmp_path / "docs").exists()
    assert report(tmp_path, "--published", "runs", "--markdown", "runs").returncode == 2
    for flags, said in {
        ("--sort", "acc"): "--sort=acc: must be one of rank, model, val/acc, test/acc, difference, runs, parameters, "
        "multiply-adds, images/s, seconds, MiB; the nearest is val/acc\n",
        ("--published", "--sort", "seconds"): "--sort=seconds: must be left out beside --published\n",
        (
            "--to",
            "runs/run/results.json",
        ): "--to=runs/run/results.json: must be a folder; this is a file\n",
    }.items():
        refused = report(tmp_path, "runs", *flags)
        assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", said)
    assert sorted(path.name for path in (tmp_path / "runs").rglob("*")) == ["results.json", "run"]
