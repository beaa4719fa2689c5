"""The table of classes as text: precision, recall, F1 and support."""

from collections.abc import Sequence

from cnn_experiments.markdown import escape_markdown, markdown_table
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.predictions.measures import ClassMeasures, ClassReport, class_report

CLASS_TABLE_HEADER = ("class", "precision", "recall", "F1", "images")


def class_table_rows(class_names: Sequence[str], report: ClassReport) -> list[tuple[str, ...]]:
    """Return the cells of CLASS_TABLE_HEADER for every class, and last for the mean of the classes.

    A measure that nothing tells is empty.
    """
    names = [*class_names, "mean"]
    return [_row(name, measures) for name, measures in zip(names, (*report.classes, report.mean), strict=True)]


def class_table_markdown(predictions: Predictions) -> str:
    """Return the table of classes of the evaluated split as Markdown, with the accuracy over all images below."""
    report = class_report(predictions.evaluated)
    rows = [(escape_markdown(name), *cells) for name, *cells in class_table_rows(predictions.class_names, report)]
    table = markdown_table(CLASS_TABLE_HEADER, rows, [True, False, False, False, False])
    return f"{table}\n\naccuracy over all images: {report.accuracy:.4f}"


def _row(name: str, measures: ClassMeasures) -> tuple[str, ...]:
    shares = (measures.precision, measures.recall, measures.f1)
    return name, *("" if share is None else f"{share:.4f}" for share in shares), f"{measures.support:,}"
