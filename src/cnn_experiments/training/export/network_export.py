"""Writing a trained network to a file that is loaded again and compared before it gets its name."""

import re
from pathlib import Path

from torch import Tensor

from cnn_experiments.errors import RunFailedError, line_of_user_code
from cnn_experiments.runs.atomic import WRITING_SUFFIX, remove_on_error
from cnn_experiments.training.export.comparison import Comparison, compare
from cnn_experiments.training.export.formats import FORMATS
from cnn_experiments.training.export.metadata import metadata_of
from cnn_experiments.training.trained_network import TrainedNetwork

_ADVICE = re.compile(r"\s*(?:For more information|If you're using|consider using|Failure message|See the stack)")
"""Where the part of an exporter's message begins that helps only those who change the exporter or the network."""


def export_network(trained: TrainedNetwork, format_name: str, path: Path, images: Tensor) -> Comparison:
    """Write a network to a file, load the file, and compare it with the network.

    Args:
        trained: the network.
        format_name: one of `FORMATS`.
        path: of the file.
        images: uint8 (N, channels, native_size, native_size): on which both are compared.

    Raises:
        RunFailedError: the network can't be exported to this format, or the file computes something else; then there is
            no file.
        OSError: the file can't be written.
    """
    export_format = FORMATS[format_name]
    temporary = path.with_name(f"{path.name}{WRITING_SUFFIX}")
    metadata = metadata_of(trained, has_preprocessing=export_format.has_preprocessing)
    with remove_on_error(temporary):
        try:
            export_format.write(trained, temporary, metadata)
            file_logits = export_format.load(temporary, trained)
            comparison = compare(file_logits, trained, images, has_preprocessing=export_format.has_preprocessing)
        except OSError:
            raise
        except Exception as error:  # the exporters raise anything
            raise RunFailedError(f"this network can't be exported to {format_name}: {_reason(error)}") from error
        if not comparison.is_close:
            raise RunFailedError(
                f"{path.name} was not written, because it computes something else than the network: {comparison}; "
                f"the difference must be at most {comparison.tolerance:.1e}"
            )
        temporary.replace(path)
    return comparison


def _reason(error: BaseException) -> str:
    """Return the cause of an exporter's error in one line, with the line of the network's code if it is known.

    Torch explains an error in many lines; the first ones say what is wrong.
    """
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    first_lines = [line for line in str(cause).splitlines() if line.strip()][:2]
    explanation = " ".join(_ADVICE.split(line)[0] for line in first_lines)
    message = f"{type(cause).__name__}: {' '.join(explanation.split())}"
    line = line_of_user_code(error) or line_of_user_code(cause)
    return f"{message} ({line})" if line else message
