"""TensorBoard logging: scalars, and the run's row in the HParams tab."""

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from cnn_experiments.runs import hparams
from cnn_experiments.runs.events import append_image, append_scalars, append_text
from cnn_experiments.runs.status import Status

log = logging.getLogger(__name__)


class RunLogger(Logger):
    """Write event files into the run directory itself, so that TensorBoard names the run after its path.

    The curves are also in metrics.csv: if event files cannot be written, a line says so, and the run continues.

    Args:
        directory: the run directory.
        is_writer: whether this process writes; of several that train together, only rank 0 does.
    """

    def __init__(self, directory: Path, *, is_writer: bool = True) -> None:
        super().__init__()
        self._directory = directory
        self._file = directory / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._is_writing = is_writer

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self._directory)

    def log_start(self, settings: Mapping[str, Any]) -> None:
        """Open the run's row in the HParams tab."""
        if self._is_writing:
            with self._stop_on_error():
                hparams.write_session_start(self._directory, settings)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the scalars of a step."""
        if self._is_writing:
            with self._stop_on_error():
                append_scalars(self._file, metrics, step or 0)

    def log_image(self, tag: str, png: bytes, step: int) -> None:
        """Write a picture, a PNG file, to the tab Images."""
        if self._is_writing:
            with self._stop_on_error():
                append_image(self._file, tag, png, step)

    def log_text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text to the tab Text."""
        if self._is_writing:
            with self._stop_on_error():
                append_text(self._file, tag, markdown, step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Write nothing: `log_start` has written the settings."""

    def log_end(self, status: Status) -> None:
        """Close the run's row with its status: completed, failed or interrupted."""
        if self._is_writing:
            with self._stop_on_error():
                hparams.write_session_end(self._directory, status)

    @contextmanager
    def _stop_on_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._is_writing = False
            log.warning("TensorBoard's event files end here: %s", error)
