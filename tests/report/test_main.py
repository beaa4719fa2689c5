"""Tests of the command `python -m cnn_experiments.report`, in its own process."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.commands import run
from tests.stored_runs import MakeRun


def run_report(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run(cwd, *arguments, module="cnn_experiments.report")


def test_comparison_with_published_results_is_printed_and_written(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.75, 0.76, 0.77)):
        curve = {"epoch": [1, 2], "test/acc": [0.6, accuracy], "val/acc": [0.6, accuracy]}
        make_run(f"adam{seed}", "book/adam/lenet_bn_scratch", seed, accuracy, curves=curve)
        make_run(f"best{seed}", "best/lenet_bn", seed, accuracy, curves=curve)
        make_run(f"sgd{seed}", "book/sgd/lenet_bn", seed, accuracy, curves=curve)
        make_run(f"lenet{seed}", "book/sgd/lenet", seed, accuracy, curves=curve)
    (make_run("damaged", "book/sgd/lenet", 7) / "results.json").write_text("{")
    completed = run_report(tmp_path, "--published", "runs", "--markdown", "ledger.md")
    assert (completed.returncode, completed.stderr) == (0, "")
    output = completed.stdout
    assert "on cpu (AMD EPYC)" in output
    assert re.search(r"│ book/adam/lenet_bn_scratch +│ .855 \(N2\), .859 \(P\), band \[.692, .897\] +│ .760 ", output)
    assert re.search(
        r"│ book/sgd/lenet +│ .806 \[.774, .824\] of 182, best .828 +│ .760 .* │ outside, below +│", output
    )
    assert re.search(
        r"│ best/lenet_bn +│ .894, the best of its network +│ .760 \[.750, .770\] of 3, sd .0100 │ not above +│", output
    )
    assert "book/adam/lenet_bn_scratch: .751 (N1) is not compared, its network has an error: no batch norm" in output
    assert re.search(r"damaged: runs/damaged/results.json: not valid JSON: Expecting property name", output)
    assert output.splitlines()[-2:] == ["recipes with reported results but without runs: 37", "written: ledger.md"]

    page = (tmp_path / "ledger.md").read_text()
    assert (
        "| `python -m cnn_experiments -m experiment=book/sgd/lenet seed=0,1,2` | .806 [.774, .824] of 182, best .828 | .760 [.750, .770] of 3, sd .0100 | outside, below |"
        in page
    )
    assert "| 2026-11-22; torch 2.15.0, lightning 2.6.6; commit 0123456 |" in page
    assert (
        "| `python -m cnn_experiments experiment=book/sgd/nin` | .845 [.100, .878] of 102, best .885 | not measured |"
        in page
    )
    images = re.findall(r"^!\[.*\]\((.*)\)$", page, re.MULTILINE)
    assert images == ["ledger/bn-lenet.png", "ledger/lenet.png"]
    assert all((tmp_path / image).read_bytes().startswith(b"\x89PNG") for image in images)


def test_bad_input_ends_with_one_line_and_status_2(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run", "book/sgd/lenet")
    no_runs = run_report(tmp_path, "--published", "outputs")
    assert (no_runs.returncode, no_runs.stdout) == (2, "")
    assert no_runs.stderr == ("outputs: must be a run's directory or contain some; no results.json found\n")
    no_directory = run_report(tmp_path, "--published", "runs", "--markdown", "docs/ledger.md")
    assert (no_directory.returncode, no_directory.stdout) == (2, "")
    assert no_directory.stderr == (
        "--markdown=docs/ledger.md: must be a file name that ends in .md, in an existing directory\n"
    )
    assert not (tmp_path / "docs").exists()
    assert run_report(tmp_path, "--published", "runs", "--markdown", "runs").returncode == 2
    for flags, line in {
        ("--sort", "acc"): "--sort=acc: must be one of rank, model, val/acc, test/acc, difference, runs, parameters, "
        "multiply-adds, images/s, seconds, MiB; did you mean val/acc?\n",
        ("--published", "--sort", "seconds"): "--sort=seconds: not valid with --published\n",
        ("--published", "--to", "x"): "--to=x: not valid with --published\n",
        (
            "--markdown",
            "x.md",
        ): "--markdown=x.md: only valid with --published; to write a leaderboard, use --to=DIRECTORY\n",
        (
            "--to",
            "runs/run/results.json",
        ): "--to=runs/run/results.json: must be a directory; this is a file\n",
    }.items():
        result = run_report(tmp_path, "runs", *flags)
        assert (result.returncode, result.stdout, result.stderr) == (2, "", line)
    assert sorted(path.name for path in (tmp_path / "runs").rglob("*")) == ["results.json", "run"]


def test_leaderboard_is_written_to_the_one_directory_or_to_that_of_the_flag(make_run: MakeRun, tmp_path: Path) -> None:
    files = ["leaderboard.csv", "leaderboard.html", "leaderboard.md"]
    for name in ("a", "b"):
        make_run(name, None)
    assert run_report(tmp_path, "runs").returncode == 0
    assert sorted(path.name for path in (tmp_path / "runs").glob("leaderboard.*")) == files
    two_directories = run_report(tmp_path, "runs/a", "runs/b")
    assert two_directories.returncode == 0
    assert two_directories.stdout.splitlines()[-1] == (
        "not written: several directories are given; choose one with --to=DIRECTORY"
    )
    assert not list((tmp_path / "runs" / "b").glob("leaderboard.*"))
    assert run_report(tmp_path, "runs/a", "runs/b", "--to", "both").returncode == 0
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == files
    (tmp_path / "file").write_text("")
    assert run_report(tmp_path, "runs", "--to", "file/below").returncode == 1


def test_directory_of_one_run_gets_its_page(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", None)
    completed = run_report(tmp_path, "runs/a")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines()[0] == "lenet on fashion_mnist, seed 0: completed"
    assert completed.stdout.splitlines()[-1] == "written: runs/a/run.html"
    assert run_report(tmp_path, "runs/a", "--to", "pages").returncode == 0
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["run.html"]
    assert sorted(path.name for path in (tmp_path / "runs" / "a").iterdir()) == ["results.json", "run.html"]
    sorted_run = run_report(tmp_path, "runs/a", "--sort", "seconds")
    assert (sorted_run.returncode, sorted_run.stdout) == (2, "")
    assert sorted_run.stderr == "--sort=seconds: only valid for several runs; this directory has one\n"
    (tmp_path / "file").write_text("")
    assert run_report(tmp_path, "runs/a", "--to", "file/below").returncode == 1
    (tmp_path / "runs" / "a" / "results.json").write_text("{")
    damaged = run_report(tmp_path, "runs/a")
    assert (damaged.returncode, damaged.stdout) == (2, "")
    assert damaged.stderr.startswith("runs/a: results.json can't be read: not valid JSON: ")


def test_run_with_another_run_below_is_in_a_leaderboard(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", None)
    make_run("a/b", None)
    assert run_report(tmp_path, "runs/a").returncode == 0
    assert (tmp_path / "runs" / "a" / "leaderboard.html").exists()
    assert not (tmp_path / "runs" / "a" / "run.html").exists()


def test_pages_are_linked_from_the_leaderboard(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(f"a b#{seed}", None, seed)
    completed = run_report(tmp_path, "runs", "--pages", "--to", "other")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines()[-1] == "written: run.html of 2 runs"
    links = re.findall('<a href="([^"]*)">(.)</a>', (tmp_path / "other" / "leaderboard.html").read_text())
    assert links == [("../runs/a%20b%230/run.html", "0"), ("../runs/a%20b%231/run.html", "1")]
    (tmp_path / "runs" / "a b#0" / "run.html").unlink()
    assert run_report(tmp_path, "runs").returncode == 0
    links = re.findall('<a href="([^"]*)">(.)</a>', (tmp_path / "runs" / "leaderboard.html").read_text())
    assert links == [("a%20b%231/run.html", "1")]
    published = run_report(tmp_path, "runs", "--published", "--pages")
    assert (published.returncode, published.stderr) == (2, "--pages=true: not valid with --published\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "python -m cnn_experiments.report: the following arguments are required: DIRECTORY; --help lists what is allowed"),
        (["runs", "--srt", "x"], "python -m cnn_experiments.report: unrecognized arguments: --srt x; --help lists what is allowed"),
        (["runs", "--so", "rank"], "python -m cnn_experiments.report: unrecognized arguments: --so rank; --help lists what is allowed"),
        (["runs", "--sort"], "python -m cnn_experiments.report: argument --sort: expected one argument; --help lists what is allowed"),
        (["\x1b[31mred"], r"\x1b[31mred: must be a run's directory or contain some; no results.json found"),
        (["runs", "--to", "x" * 300], f"File name too long: {'x' * 300}"),
        (["x" * 300], f"{'x' * 300}: must be a run's directory or contain some; no results.json found"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_bad_arguments_are_rejected_in_one_line(
    make_run: MakeRun, tmp_path: Path, arguments: list[str], line: str
) -> None:
    make_run("run", None)
    completed = run_report(tmp_path, *arguments)
    assert (completed.returncode, completed.stdout, completed.stderr) == (2, "", f"{line}\n")


def test_comparison_that_cannot_be_written_is_printed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run", "book/sgd/lenet", curves={"epoch": [1], "test/acc": [0.8]})
    (tmp_path / "ledger").write_text("mine")
    completed = run_report(tmp_path, "--published", "runs", "--markdown", "ledger.md")
    assert (completed.returncode, completed.stderr) == (1, "")
    assert "│ book/sgd/lenet" in completed.stdout
    assert completed.stdout.splitlines()[-1] == "could not write ledger.md: File exists"
    assert not (tmp_path / "ledger.md").exists()
    assert (tmp_path / "ledger").read_text() == "mine"


def test_names_are_text_in_a_comparison_with_published_results(make_run: MakeRun, tmp_path: Path) -> None:
    name = "<img src=x> $x^{2$ [/red] | `\x1b[31m"
    versions = {"torch": name, "lightning": name}
    curves = {"epoch": [1], "test/acc": [0.8]}
    make_run("run", "book/sgd/lenet", curves=curves, device=name, versions=versions, git_commit=name, started=name)
    make_run("other", "book/sgd/lenet", 1, status="failed", error=name, device=name)
    completed = run_report(tmp_path, "--published", "runs", "--markdown", "ledger.md")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert r"on <img src=x> $x^{2$ [/red] | `\x1b[31m" in completed.stdout
    assert "\x1b" not in completed.stdout
    page = (tmp_path / "ledger.md").read_text()
    assert "\x1b" not in page
    assert "<img" not in page
    assert r"## On &lt;img src=x&gt; \$x^{2\$ \[/red] \| \`\\x1b\[31m" in page
    assert (tmp_path / "ledger" / "lenet.png").read_bytes().startswith(b"\x89PNG")


def test_runs_that_trained_no_epoch_are_not_compared(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run", "book/sgd/lenet", epochs=0)
    make_run("huge", "book/sgd/lenet", 1, 1e308)
    completed = run_report(tmp_path, "--published", "runs")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "excluded: runs/huge: book/sgd/lenet lacks metrics.test/acc in results.json\n" in completed.stdout
    assert "excluded: runs/run: book/sgd/lenet has 0 epochs\n" in completed.stdout
