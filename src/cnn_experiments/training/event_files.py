"""TensorBoard's event files: scalars, pictures, texts, and the run's row in the HParams tab."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from cnn_experiments.runs import hparams
from cnn_experiments.runs.events import append_image, append_scalars, append_text
from cnn_experiments.runs.status import Status

_STATUS = {"success": Status.COMPLETED, "failed": Status.FAILED, "aborted": Status.INTERRUPTED}


class EventFileLogger(Logger):
    """Write event files into the run directory itself, so that TensorBoard names the run after its path.

    Args:
        save_dir: the run directory.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self._directory = Path(save_dir)
        self._file = self._directory / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self._directory)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Open the run's row in the HParams tab, with its settings."""
        hparams.write_session_start(self._directory, params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the scalars of a step."""
        append_scalars(self._file, metrics, step or 0)

    def log_image(self, tag: str, png: bytes, step: int) -> None:
        """Write a picture, a PNG file, to the tab Images."""
        append_image(self._file, tag, png, step)

    def log_text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text to the tab Text."""
        append_text(self._file, tag, markdown, step)

    def finalize(self, status: str) -> None:
        """Close the run's row with its status: success, failed or aborted."""
        hparams.write_session_end(self._directory, _STATUS[status])
