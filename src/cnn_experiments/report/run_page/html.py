"""The page of one run as one self-contained HTML file."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from cnn_experiments.predictions.class_table import CLASS_TABLE_HEADER, class_table_rows
from cnn_experiments.predictions.figures import (
    MAX_NUMBERED_CLASSES,
    NUM_MISTAKES,
    confusion_colors,
    confusion_matrix_figure,
    coverage_figure,
    reliability_figure,
)
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import (
    NUM_BINS,
    calibration,
    class_report,
    confusion_matrix,
    coverage,
    shares_of_classes,
)
from cnn_experiments.predictions.mistakes import stored_mistakes
from cnn_experiments.report.page import picture_items, render
from cnn_experiments.report.run_page.content import StoredRun
from cnn_experiments.report.svg import COLORS, FOREGROUND, STYLE, new_chart, number_epochs, to_svg
from cnn_experiments.runs.metrics import SPLITS, curve_metrics
from cnn_experiments.runs.stages import STAGE_TABLE_HEADER, stage_rows


def render_run_page(run: StoredRun, title: str) -> str:
    """Return HTML with its style, charts and pictures inside.

    Args:
        run: what the page shows.
        title: the heading, such as the run's directory.
    """
    results, predictions = run.results, run.predictions
    return render(
        "run_page/page.html.jinja",
        title=title,
        run=run,
        curves=list(_curve_charts(run)),
        wrong=_what_is_wrong(predictions) if isinstance(predictions, Predictions) else None,
        stage_header=STAGE_TABLE_HEADER,
        stages=stage_rows(results.stages, results.parameters, results.multiply_adds),
        notes=[],
    )


def _curve_charts(run: StoredRun) -> Iterable[tuple[str, Markup]]:
    """Yield captions and charts of the metrics by epoch, one for each metric with a line for each split."""
    for metric in curve_metrics(run.metrics):
        curves = {split: run.curves[key] for split in SPLITS if (key := metric.key(split)) in run.curves}
        if not curves:
            continue
        with mpl.rc_context(STYLE):
            figure, axes = new_chart("epoch", metric.label)
            for (split, curve), color in zip(curves.items(), COLORS, strict=False):
                marker = "o" if len(curve) == 1 else None
                axes.plot(list(curve), list(curve.values()), color=color, label=split, marker=marker, linewidth=1.6)
            tested_epoch = run.results.tested_epoch
            if tested_epoch is not None and any(tested_epoch in curve for curve in curves.values()):
                axes.axvline(tested_epoch, color=FOREGROUND, linestyle=":", linewidth=1, label="tested epoch")
            number_epochs(axes, chain.from_iterable(curves.values()))
            axes.legend()
            yield f"{metric.label} by epoch", to_svg(figure, f"{metric.label} by epoch")


def _what_is_wrong(predictions: Predictions) -> dict[str, Any]:
    """Return what the template needs of the predictions."""
    split, report = predictions.evaluated, class_report(predictions.evaluated)
    num_mistakes = int((split.predicted != split.label).sum())
    return {
        "summary": f"{num_mistakes:,} of {len(split.label):,} test images are wrong.",
        "class_names": predictions.class_names,
        "cells": _confusion_cells(predictions) if len(predictions.class_names) <= MAX_NUMBERED_CLASSES else None,
        "confusion_chart": _confusion_chart(predictions),
        "mistakes": picture_items(stored_mistakes(predictions, NUM_MISTAKES), predictions.class_names),
        "class_header": CLASS_TABLE_HEADER,
        "class_rows": class_table_rows(predictions.class_names, report),
        "charts": _confidence_charts(predictions),
    }


def _confusion_cells(predictions: Predictions) -> list[list[dict[str, str]]]:
    """Return count, share of the true class and color of each cell of the confusion matrix."""
    matrix = confusion_matrix(predictions.evaluated)
    shares = shares_of_classes(matrix)
    colors = confusion_colors(matrix)
    return [
        [
            {
                "count": f"{count:,}" if count else "",
                "share": f"{share:.1%}" if count else "",
                "color": "rgb({:.0f} {:.0f} {:.0f} / {:.3f})".format(*(color * (255, 255, 255, 1))),
            }
            for count, share, color in zip(counts.tolist(), row_shares.tolist(), row_colors, strict=True)
        ]
        for counts, row_shares, row_colors in zip(matrix, shares, colors, strict=True)
    ]


def _confusion_chart(predictions: Predictions) -> Markup | None:
    """Return the confusion matrix of many classes, whose table would not be readable."""
    if len(predictions.class_names) <= MAX_NUMBERED_CLASSES:
        return None
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        return to_svg(confusion_matrix_figure(predictions), "confusion matrix")


def _confidence_charts(predictions: Predictions) -> list[tuple[str, Markup]]:
    """Return captions and charts of what the confidence of the network is worth."""
    split = predictions.evaluated
    with mpl.rc_context(STYLE):
        reliability = to_svg(reliability_figure(split), "accuracy by confidence")
        answered = to_svg(coverage_figure(split), "accuracy by coverage")
    return [
        (
            f"Reliability: accuracy by confidence, in {NUM_BINS} bins; red is the gap between both. "
            f"Expected calibration error {calibration(split).error:.4f}.",
            reliability,
        ),
        (
            "Coverage: accuracy if only the most confident images are answered. Mean error rate over all coverages "
            f"{coverage(split).area:.4f}.",
            answered,
        ),
    ]
