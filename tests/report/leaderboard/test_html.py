"""Tests of the HTML page, as a browser parses it."""

import re
from html.parser import HTMLParser

from cnn_experiments.report.leaderboard.charts import pareto_front
from cnn_experiments.report.leaderboard.html import render_page
from tests.report.leaderboard.conftest import ReadLeaderboard
from tests.stored_runs import MakeRun


class Page(HTMLParser):
    """Ids, links, captions and table rows of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.sources: list[str] = []
        self.captions: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self._open.append(tag)
        self.ids |= {attributes["id"] or ""} if "id" in attributes else set()
        if tag == "a":
            self.links.add(attributes["xlink:href"] or "")
        self.sources += [str(attributes[key]) for key in ("src", "href") if key in attributes and tag != "use"]
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


def render(read_leaderboard: ReadLeaderboard, *damaged: str) -> tuple[str, Page]:
    html = render_page(read_leaderboard(), damaged, "outputs/<mine>")
    return html, Page(html)


def make_sweep(make_holdout_run: MakeRun) -> None:
    """Write runs of two networks with two learning rates and two seeds."""
    for i, model in enumerate(("small", "large")):
        for lr in (0.1, 0.01):
            for seed in (0, 1):
                accuracy = 0.8 + 0.05 * i + lr / 10 + seed / 100
                make_holdout_run(
                    f"{model}-{lr}-{seed}",
                    model,
                    seed,
                    accuracy,
                    accuracy - 0.01,
                    parameters=1000 * 10**i,
                    multiply_adds=5000 * 10**i,
                    seconds={"fit": 10.0 + i, "test": 1.0},
                    settings={"optimizer.lr": lr},
                    configuration=f"{model}{lr}",
                    overrides=[f"model={model}", f"optimizer.lr={lr}", f"seed={seed}"],
                    curves={"epoch": [1, 2], "val/acc": [0.5, accuracy], "train/loss": [1.0, 0.5]},
                )


def test_page_loads_no_other_file(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_sweep(make_holdout_run)
    html, page = render(read_leaderboard)
    assert page.sources == []
    assert not re.search(
        r"url\((?!#)|@import|fetch\(|https?://(?!www\.w3\.org|purl\.org|creativecommons\.org|matplotlib\.org)", html
    )
    assert "<title>outputs/&lt;mine&gt;: leaderboard</title>" in html
    assert "#010101" not in html
    assert "var(--ink)" in html


def test_page_of_a_two_way_sweep_has_all_charts(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_sweep(make_holdout_run)
    html, page = render(read_leaderboard)
    assert [caption.partition(":")[0] for caption in page.captions] == [
        "val/acc by epoch, mean over the seeds; axis truncated",
        "train/loss by epoch, mean over the seeds",
        "Accuracy vs. parameters",
        "Accuracy vs. compute",
        "Accuracy vs. time on cpu (AMD EPYC)",
        "val/acc of every combination",
    ]
    assert html.count("<svg") == 6
    assert page.links == {f"#board1-{rank}" for rank in (1, 2, 3, 4)}
    assert page.links <= {f"#{name}" for name in page.ids}
    assert ">0.8650<" in html.replace(" ", "")  # a cell of the heat map: large, 0.1


def test_rows_are_those_of_the_leaderboard(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_sweep(make_holdout_run)
    _, page = render(read_leaderboard, "x: cut")
    first = next(row for row in page.rows if row and row[0].startswith("large lr=0.1"))
    assert [cell.strip() for cell in first[1:6]] == [
        "1 best",
        "large",
        "0.1",
        "0.8650 ± 0.0071 [0.8015, 0.9285]",
        "0.8550 ± 0.0071 [0.7915, 0.9185]",
    ]


def test_differences_are_colored_by_verdict(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    for model, tests in {"a": (0.9, 0.901), "b": (0.8, 0.802), "c": (0.8, 0.803)}.items():
        for seed, test in enumerate(tests):
            make_holdout_run(f"{model}{seed}", model, seed, test, test)
    html, _ = render(read_leaderboard)
    cells = re.findall(r'<td class="(\w*)">([+-]\S+ \w+)<small>', html)
    assert cells.count(("better", "+0.0995 better")) == 1  # a over b, by 0.1 and 0.099
    assert cells.count(("worse", "-0.0995 worse")) == 1
    assert cells.count(("inconclusive", "+0.0005 inconclusive")) == 1  # c over b


def test_costs_carry_their_device_for_sorting(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a", "a", 0, 0.9, 0.9)
    make_holdout_run("b", "b", 0, 0.8, 0.8, device="cuda (NVIDIA H200)", seconds={"fit": 2.0, "test": 0.5})
    html, _ = render(read_leaderboard)
    assert re.findall(r'<td data-value="(\S+)"(?: data-device="(\d)")? class="number">\S+ ([ab])</td>', html) == [
        ("1000.0", "", "a"),
        ("81.0", "", "a"),
        ("1024.0", "", "a"),
        ("1000.0", "1", "b"),
        ("2.5", "1", "b"),
        ("1024.0", "1", "b"),
    ]


def test_settings_that_are_lists_or_markup_are_displayed_literally(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    for i, depths in enumerate(([2, 2], [4, 4, 4])):
        for name in ("$a_{$", "<script>b</script>"):
            make_holdout_run(
                f"{i}{name[1]}",
                name,
                0,
                0.8 + i / 10,
                0.8,
                settings={"model.depths": depths},
                configuration=f"{name}{depths}",
                overrides=[f"model={name}", f"model.depths={depths}"],
                curves={"epoch": [1, 2], "val/acc": [0.5, 0.8]},
                parameters=1000 * (i + 1),
            )
    html, page = render(read_leaderboard)
    assert page.captions[-1] == "val/acc of every combination"
    assert "<script>b" not in html
    assert "$a_{$ depths=[4, 4, 4]" in html


def test_unreadable_curve_is_left_out(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    curves = {"epoch": [1, 2], "val/acc": [0.5, 0.8]}
    make_holdout_run("a", "a", 0, 0.8, 0.8, curves=curves)
    (make_holdout_run("b", "b", 0, 0.8, 0.8) / "metrics.csv").write_text("epoch,val/acc\n1,x\n")
    html, page = render(read_leaderboard)
    assert page.captions == ["val/acc by epoch, mean over the seeds; axis truncated"]
    assert html.count("1 a<") == 1


def test_curve_of_a_single_run_is_shown_completely(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a", "a", 0, 0.9, 0.9, curves={"epoch": [1, 2, 3], "val/acc": [0.8, 0.85, 0.9]})
    html, _ = render(read_leaderboard)
    ticks = [float(tick) for tick in re.findall(r">(0\.\d+)</text>", html)]
    assert min(ticks) <= 0.81


def test_axis_of_one_epoch_has_its_number_alone(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a", "a", 0, 0.9, 0.9, curves={"epoch": [1], "val/acc": [0.9]})
    html, _ = render(read_leaderboard)
    texts = re.findall(r">([^<>]+)</text>", html)
    assert texts[: texts.index("epoch")] == ["1"]


def test_ids_are_unique(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_sweep(make_holdout_run)
    html, _ = render(read_leaderboard)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert html.count('role="img" aria-label="') == 6


def test_charts_without_content_are_left_out(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("one", "lenet", 0, 0.8, 0.7)
    html, page = render(read_leaderboard)
    assert page.captions == []
    assert ">Nothing to compare with lenet.<" in html


def test_pareto_front_has_no_dominated_point() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (3.0, 0.7), (4.0, 0.9), (1.0, 0.3)]
    assert pareto_front(points, higher_is_better=True) == [(1.0, 0.5), (2.0, 0.7), (4.0, 0.9)]
    assert pareto_front(points, higher_is_better=False) == [(1.0, 0.3)]
    assert pareto_front([(1.0, 0.5), (2.0, 0.4), (3.0, 0.6)], higher_is_better=False) == [(1.0, 0.5), (2.0, 0.4)]
