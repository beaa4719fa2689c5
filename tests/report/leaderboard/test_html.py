"""The page, as a browser would read it."""

import re
from html.parser import HTMLParser
from pathlib import Path

from cnn_experiments.report.leaderboard.charts import pareto_front
from cnn_experiments.report.leaderboard.groups import leaderboard
from cnn_experiments.report.leaderboard.html import page
from cnn_experiments.runs.records import find
from tests.stored_runs import MakeRun


class Page(HTMLParser):
    """What is in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.sources: list[str] = []
        self.captions: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(tag)
        self.ids |= {given["id"] or ""} if "id" in given else set()
        if tag == "a":
            self.links.add(given["xlink:href"] or "")
        self.sources += [str(given[key]) for key in ("src", "href") if key in given and tag != "use"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if "figcaption" in self._open[-1:]:
            self.captions.append(data)
        elif self._open[-1:] in (["td"], ["th"], ["small"], ["button"]) and data.strip():
            self.rows[-1][-1] += data.strip() + " "

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            continue


def read(tmp_path: Path, *damaged: str) -> tuple[str, Page]:
    text = page(leaderboard(find([tmp_path / "runs"])[0]), damaged, "outputs/<mine>")
    return text, Page(text)


def sweep(make: MakeRun) -> None:
    for place, model in enumerate(("small", "large")):
        for lr in (0.1, 0.01):
            for seed in (0, 1):
                accuracy = 0.8 + 0.05 * place + lr / 10 + seed / 100
                make(
                    f"{model}-{lr}-{seed}",
                    model,
                    seed,
                    accuracy,
                    accuracy - 0.01,
                    parameters=1000 * 10**place,
                    multiply_adds=5000 * 10**place,
                    seconds={"fit": 10.0 + place, "test": 1.0},
                    settings={"optimizer.lr": lr},
                    configuration=f"{model}{lr}",
                    overrides=[f"model={model}", f"optimizer.lr={lr}", f"seed={seed}"],
                    curves={"epoch": [1, 2], "val/acc": [0.5, accuracy], "train/loss": [1.0, 0.5]},
                )


def test_the_page_needs_nothing_beside_it(make: MakeRun, tmp_path: Path) -> None:
    sweep(make)
    text, shown = read(tmp_path)
    assert shown.sources == []
    assert not re.search(
        r"url\((?!#)|@import|fetch\(|https?://(?!www\.w3\.org|purl\.org|creativecommons\.org|matplotlib\.org)", text
    )
    assert "<title>outputs/&lt;mine&gt;: leaderboard</title>" in text
    assert "#010101" not in text
    assert "var(--ink)" in text


def test_the_page_has_every_picture_of_a_two_way_sweep(make: MakeRun, tmp_path: Path) -> None:
    sweep(make)
    text, shown = read(tmp_path)
    assert [caption.partition(":")[0] for caption in shown.captions] == [
        "val/acc by epoch, mean over the seeds; what lies lower is cut off",
        "train/loss by epoch, mean over the seeds",
        "Accuracy and size",
        "Accuracy and work",
        "Accuracy and time on cpu (AMD EPYC)",
        "val/acc of every combination",
    ]
    assert text.count("<svg") == 6
    assert shown.links == {f"#board1-{rank}" for rank in (1, 2, 3, 4)}
    assert shown.links <= {f"#{each}" for each in shown.ids}
    assert ">0.8650<" in text.replace(" ", "")  # a cell of the heat map: large, 0.1


def test_rows_are_those_of_the_leaderboard(make: MakeRun, tmp_path: Path) -> None:
    sweep(make)
    _, shown = read(tmp_path, "x: cut")
    first = next(row for row in shown.rows if row and row[0].startswith("large lr=0.1"))
    assert [cell.strip() for cell in first[1:6]] == [
        "1 best",
        "large",
        "0.1",
        "0.8650 ± 0.0071 [0.8015, 0.9285]",
        "0.8550 ± 0.0071 [0.7915, 0.9185]",
    ]


def test_settings_may_be_lists_and_look_like_formulas(make: MakeRun, tmp_path: Path) -> None:
    for place, depths in enumerate(([2, 2], [4, 4, 4])):
        for name in ("$a_{$", "<script>b</script>"):
            make(
                f"{place}{name[1]}",
                name,
                0,
                0.8 + place / 10,
                0.8,
                settings={"model.depths": depths},
                configuration=f"{name}{depths}",
                overrides=[f"model={name}", f"model.depths={depths}"],
                curves={"epoch": [1, 2], "val/acc": [0.5, 0.8]},
                parameters=1000 * (place + 1),
            )
    text, shown = read(tmp_path)
    assert shown.captions[-1] == "val/acc of every combination"
    assert "<script>b" not in text
    assert "$a_{$ depths=[4, 4, 4]" in text


def test_a_curve_that_cannot_be_read_is_left_out(make: MakeRun, tmp_path: Path) -> None:
    whole = {"epoch": [1, 2], "val/acc": [0.5, 0.8]}
    make("a", "a", 0, 0.8, 0.8, curves=whole)
    (make("b", "b", 0, 0.8, 0.8) / "metrics.csv").write_text("epoch,val/acc\n1,x\n")
    text, shown = read(tmp_path)
    assert shown.captions == ["val/acc by epoch, mean over the seeds; what lies lower is cut off"]
    assert text.count("1 a<") == 1


def test_a_lone_run_shows_all_of_its_curve(make: MakeRun, tmp_path: Path) -> None:
    make("a", "a", 0, 0.9, 0.9, curves={"epoch": [1, 2, 3], "val/acc": [0.8, 0.85, 0.9]})
    text, _ = read(tmp_path)
    ticks = [float(tick) for tick in re.findall(r">(0\.\d+)</text>", text)]
    assert min(ticks) <= 0.81


def test_names_in_the_page_are_there_once(make: MakeRun, tmp_path: Path) -> None:
    sweep(make)
    text, _ = read(tmp_path)
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names))
    assert text.count('role="img" aria-label="') == 6


def test_pictures_that_would_say_nothing_are_left_out(make: MakeRun, tmp_path: Path) -> None:
    make("one", "lenet", 0, 0.8, 0.7)
    text, shown = read(tmp_path)
    assert shown.captions == []
    assert ">Nothing to compare lenet with.<" in text


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (3.0, 0.7), (4.0, 0.9), (1.0, 0.3)]
    assert pareto_front(points) == [(1.0, 0.5), (2.0, 0.7), (4.0, 0.9)]
