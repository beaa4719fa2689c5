"""Tests of leaderboards of runs whose files hold names and numbers that no run of this program has."""

import csv
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.report.leaderboard.show import report_leaderboard
from tests.stored_runs import MakeRun

CONTROL_CHARACTER = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

NAMES = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>&",
    "markdown": "a|b `c` [d](http://e) ![f](g) **h**\n\n# i\n- j\\",
    "formula": '=HYPERLINK("http://x","y")',
    "formula of a sign": "+1+cmd|' /C calc'!A0",
    "formula after a tab": "\t=1+1",
    "formula after a return": "\r=1+1",
    "formula of an at": "@SUM(1)",
    "rich": "[red]x[/red] [link=http://x]y[/link] [/] [bold",
    "escape codes": "\x1b[31mred\x1b]0;title\x07\x9b2J\x00",
    "direction": "\u202egnp.exe\u2066",
    "mathtext": "$x^{2$ \\frac{1",
    "hidden in legends": "_nolegend_",
    "placeholders": '#010101 id="x" <svg',
    "jinja": "{{ 7 * 7 }}{% raw %}",
    "scripts of the world": "模型 😀 é",
    "empty": "",
    "space": " ",
    "long": "x" * 10_000,
    "number": "1e5",
}


class Elements(HTMLParser):
    """The elements of a page, and the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def make_runs(make_run: MakeRun, name: str) -> None:
    """Write runs that have a name wherever results.json has a text."""
    for i, value in enumerate((name, "other")):
        for j, lr in enumerate((0.1, 0.2)):
            make_run(
                f"{i}-{j}",
                None,
                0,
                0.5 + i / 10 + j / 100,
                curves={"epoch": [1, 2], "val/acc": [0.4, 0.5], "train/loss": [2.0, 1.0]},
                model=value,
                data=name,
                options={"model": value, "optimizer": value, name: value},
                overrides=[f"model={value}", name, f"{name}={value}"],
                settings={"model.norm": value, name: value, "optimizer.lr": lr, "data.seed": value},
                configuration=f"{i}-{j}",
                protocol=name,
                precision=name,
                started=name,
                device=value,
                versions={"torch": value, "lightning": name},
                git_commit=value,
                parameters=100 + i,
                metrics={"val/acc": 0.5 + i / 10, "test/acc": 0.5},
                seconds={"fit": 2.0 + i, "test": 1.0},
                processes=2,
            )
    make_run("failed", None, 1, status="failed", error=f"{name} {name}", model=name, metrics={})
    make_run("damaged", None, 2)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_are_text_in_every_report(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make_runs(make_run, name)
    (tmp_path / "runs" / "damaged" / "results.json").write_text("{")
    assert report_leaderboard([tmp_path / "runs"], tmp_path)
    output = capsys.readouterr()
    assert output.err == ""
    assert not CONTROL_CHARACTER.search(output.out)
    if name == NAMES["rich"]:
        assert "[red]x[/red] [link=http://x]y[/link] [/] [bold" in output.out

    markdown = (tmp_path / "leaderboard.md").read_text()
    assert not CONTROL_CHARACTER.search(markdown)
    assert set(re.findall("<[^>]*>", markdown)) <= {"<br>"}
    assert not re.search(r"(?<!\\)\[(?!\d|-|95 %)", markdown)
    assert not re.search(r"(?<!\\)`", markdown)
    headings = [line for line in markdown.splitlines() if line.startswith("#")]
    assert len(headings) == 1 + 2 * markdown.count("### Pairwise")
    for table in (part for part in markdown.split("\n\n") if part.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)\|", line.replace(r"\\", ""))) for line in table.splitlines()}) == 1

    page = Elements((tmp_path / "leaderboard.html").read_text())
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert "onerror" not in page.attributes
    assert not CONTROL_CHARACTER.search((tmp_path / "leaderboard.html").read_text())

    text = (tmp_path / "leaderboard.csv").read_text()
    assert not CONTROL_CHARACTER.search(text)
    for row in csv.reader(io.StringIO(text)):
        assert not any(re.match(r"[=+@]|-(?![\d.])", field) for field in row)


def test_settings_that_are_numbers_stay_numbers_in_csv(make_run: MakeRun, tmp_path: Path) -> None:
    for value in ("-1", "+0.5", "-1e-3", "-x"):
        make_run(value, None, configuration=value, settings={"optimizer.lr": value})
    assert report_leaderboard([tmp_path / "runs"], tmp_path, quiet=True)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text())))
    assert sorted(row["optimizer.lr"] for row in rows) == ["'-x", "+0.5", "-1", "-1e-3"]


NUMBERS: list[dict[str, Any]] = [
    {"metrics": {}},
    {"metrics": {"val/acc": None, "test/acc": None}},
    {"metrics": {"val/acc": 1e308, "test/acc": -1e308}},
    {"metrics": {"val/acc": 1e99, "test/acc": -1e99}},
    {"metrics": {"val/acc": 5e-324, "test/acc": 0}},
    {"metrics": {"val/acc": 0.5}, "seconds": {"fit": -1.0, "test": -5.0}},
    {"seconds": {}, "images_per_second": {}},
    {"seconds": {"fit": 1e308, "test": 1e308}, "images_per_second": {"train": 1e308, "test": None}},
    {"seconds": {"fit": 0.0, "test": 0.0}, "peak_memory_bytes": 0, "parameters": 0, "multiply_adds": 0},
    {"parameters": -1, "multiply_adds": -(2**62), "peak_memory_bytes": -1, "processes": -3, "image_size": -2},
    {"parameters": 2**63 - 1, "multiply_adds": 2**63 - 1, "peak_memory_bytes": 2**63 - 1, "processes": 2**62},
    {"epochs": -1, "tested_epoch": -1, "pruned_after_epoch": -7},
    {"seed": -(2**63), "settings": {"data.seed": "9" * 10_000, "seed": [1, {"a": None}]}},
    {"settings": {"data.seed": "\u00b2", "trainer.limit_val_batches": {"a": 1}, "data.val_size": [], "": None}},
    {"settings": {"optimizer.lr": 1e308, "a": [[[[1.5]]]], "b": {"c": {"d": []}}}, "options": {}, "overrides": []},
    {"protocol": None, "precision": None, "device": None, "versions": {}, "git_commit": None, "started": None},
    {"overrides": ["", "=", "+", "~", "a", "a=b=c", "\n"], "started": "yesterday"},
]


@pytest.mark.parametrize("numbers", NUMBERS, ids=[str(i) for i in range(len(NUMBERS))])
def test_numbers_that_no_run_has_are_reported(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], numbers: dict[str, Any]
) -> None:
    curves = {"epoch": [1, 2], "val/acc": [1e308, 1e308], "train/loss": [-1e308, 1e99]}
    make_run("good", None, configuration="good", metrics={"val/acc": 0.9, "test/acc": 0.8})
    for seed in (1, 2):
        make_run(f"odd{seed}", None, **{"seed": seed, "configuration": "odd", "curves": curves, **numbers})
    assert report_leaderboard([tmp_path / "runs"], tmp_path)
    output = capsys.readouterr()
    assert output.err == ""
    assert "fashion_mnist at " in output.out
    assert {"leaderboard.csv", "leaderboard.html", "leaderboard.md"} <= {path.name for path in tmp_path.iterdir()}


def replace(key: str, value: Any) -> bytes:
    """Return the content of a results.json in which a key has another value."""
    content = {
        "status": "completed",
        "model": "a",
        "data": "b",
        "overrides": [],
        "seed": 0,
        "metrics": {"val/acc": 0.5},
    }
    return json.dumps(content | {"signal": None, key: value}).encode()


WRONG_TYPES: list[Any] = ["x", 1.5, True, [1], {"a": 1}, [[]], {"a": {"b": []}}]
DAMAGED_RESULTS = [
    *(b"", b"\x00" * 1000, b"[]", b"null", b'"text"', b"1", b"{}", b"\xff\xfe{", b"{" * 100_000, b"[" * 100_000),
    replace("seed", "SEED").replace(b'"SEED"', b"9" * 400),
    replace("seed", "SEED").replace(b'"SEED"', b"9" * 5_000),
    replace("model", "NAME").replace(b"NAME", rb"\ud800"),
    replace("model", "NAME").replace(b"NAME", rb"\ud800" * 3),
    replace("settings", {"a": "DEEP"}).replace(b'"DEEP"', b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
    *(replace("status", value) for value in ("done", "new", None, *WRONG_TYPES[1:])),
    *(replace("seed", value) for value in (*WRONG_TYPES, None)),
    *(replace("model", value) for value in (*WRONG_TYPES[1:], None)),
    *(replace("options", value) for value in (*WRONG_TYPES[:4], WRONG_TYPES[6])),
    *(replace("overrides", value) for value in (*WRONG_TYPES, None)),
    *(replace("metrics", value) for value in (*WRONG_TYPES[:4], {"val/acc": "x"}, {"val/acc": []}, None)),
    *(replace("seconds", value) for value in (*WRONG_TYPES[:4], {"fit": "x"}, {"test": []})),
    *(replace("versions", value) for value in (*WRONG_TYPES[:4], {"torch": []}, {"torch": 1})),
    *(replace("parameters", value) for value in WRONG_TYPES),
    *(replace("device", value) for value in WRONG_TYPES[1:]),
    *(replace("settings", value) for value in WRONG_TYPES[:4]),
]


def test_damaged_results_are_named_and_skipped(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("good", None, model="vgg")
    for i, content in enumerate(DAMAGED_RESULTS):
        (make_run(f"damaged{i}", None) / "results.json").write_bytes(content)
    os.truncate(make_run("large", None) / "results.json", 200_000_000)
    for name, target in (("loop", "loop"), ("dangling", "nowhere")):
        path = make_run(name, None) / "results.json"
        path.unlink()
        path.symlink_to(target)
    pipe = make_run("pipe", None) / "results.json"
    pipe.unlink()
    os.mkfifo(pipe)
    (tmp_path / "runs" / "up").symlink_to("..")
    (tmp_path / "runs" / "directory" / "results.json").mkdir(parents=True)
    assert report_leaderboard([tmp_path / "runs"], tmp_path)
    output = capsys.readouterr().out
    damaged = [line for line in output.splitlines() if line.startswith("damaged, skipped: ")]
    names = {line.partition("/runs/")[2].partition("/")[0] for line in damaged}
    assert names == {f"damaged{i}" for i in range(len(DAMAGED_RESULTS))} | {
        "large",
        "loop",
        "dangling",
        "pipe",
        "directory",
    }
    assert max(map(len, damaged)) < 400
    assert "1 completed" in (tmp_path / "leaderboard.html").read_text()


CURVES = [
    *(b"", b"\x00" * 100, b"\xff\xfe\x00", b"epoch\n", b"epoch,val/acc\n", b"val/acc\n0.5\n", b"text", b"\n\n\n", b",,,\n,,,\n"),
    *(b"epoch,val/acc\n1,x\n", b"epoch,val/acc\nx,0.5\n", b"epoch,val/acc\n1,nan\n", b"epoch,val/acc\n1,1e999\n"),
    *(b"epoch,val/acc\n1,0.5,7,8\n", b"epoch,val/acc\n1\n", b"epoch,epoch,val/acc,val/acc\n1,2,0.5,0.6\n", b'epoch,val/acc\n1,"0.5\n'),
    *(b"epoch,val/acc\n" + b"9" * 400 + b",0.5\n", b"epoch,val/acc\n" + b"9" * 5_000 + b",0.5\n", b"epoch,val/acc\n1," + b"9" * 200_000),
    *(b"epoch,val/acc\n-1,0.5\n", b"epoch,val/acc\n0,0.5\n", b"epoch,val/acc\n1,0.5\n1,0.6\n", b"epoch,val/acc\n2,0.5\n1,0.6\n"),
    b"epoch,val/acc\n" + b"1,0.5\n" * 1_000,
]  # fmt: skip


def test_damaged_curves_do_not_prevent_a_report(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, content in enumerate(CURVES):
        run = make_run(f"run{i}", None, metrics={"val/acc": 0.5}, configuration=str(i), settings={"a": i})
        (run / "metrics.csv").write_bytes(content)
    (make_run("directory", None) / "metrics.csv").mkdir()
    os.mkfifo(make_run("pipe", None) / "metrics.csv")
    assert report_leaderboard([tmp_path / "runs"], tmp_path)
    output = capsys.readouterr()
    assert output.err == ""
    assert not CONTROL_CHARACTER.search(output.out)
    for i in (9, 10):
        assert f"damaged: {tmp_path / 'runs' / f'run{i}' / 'metrics.csv'}: " in output.out
