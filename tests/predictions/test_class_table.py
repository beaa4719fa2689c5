"""Tests of the table of classes."""

from cnn_experiments.predictions.class_table import class_table_markdown
from tests.predictions.stored_predictions import make_predictions


def test_table_has_a_row_for_each_class_and_their_mean() -> None:
    predictions = make_predictions([0, 0, 1, 1], [0, 1, 1, 1], class_names=("a|b", "dog", "nothing"))
    assert class_table_markdown(predictions) == (
        "| class | precision | recall | F1 | images |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| a\\|b | 1.0000 | 0.5000 | 0.6667 | 2 |\n"
        "| dog | 0.6667 | 1.0000 | 0.8000 | 2 |\n"
        "| nothing |  |  |  | 0 |\n"
        "| mean | 0.8333 | 0.7500 | 0.7333 | 4 |\n"
        "\n"
        "accuracy over all images: 0.7500"
    )
