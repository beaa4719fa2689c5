"""The progress bar in a Jupyter notebook, in HTML, which needs no extension and leaves nothing in the notebook."""

import time
from html import escape
from typing import Any

import lightning.pytorch as pl

_SECONDS_BETWEEN_UPDATES = 0.1
_EMPTY = {"text/html": "", "text/plain": ""}


class NotebookProgressBar(pl.Callback):
    """Shows how far an epoch or an evaluation is; the log has a line for each epoch."""

    def __init__(self) -> None:
        self._display: Any = None
        self._update_time = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._show(f"epoch {trainer.current_epoch + 1}", batch_idx + 1, trainer.num_training_batches)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show("validation", batch_idx + 1, trainer.num_val_batches[dataloader_idx])

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show("test", batch_idx + 1, trainer.num_test_batches[dataloader_idx])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._clear()

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._clear()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._clear()

    def _show(self, stage: str, num_batches: int, total: float) -> None:
        from IPython.display import display

        now = time.monotonic()
        if now - self._update_time < _SECONDS_BETWEEN_UPDATES:
            return
        self._update_time = now
        text = f"{stage}: {num_batches:,} of {total:,} batches"
        bar = f'<progress value="{num_batches}" max="{total}" style="width: 20em; vertical-align: middle"></progress>'
        content = {"text/html": f"{bar} {escape(text)}", "text/plain": text}
        if self._display is None:
            self._display = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._display.update(content, raw=True)

    def _clear(self) -> None:
        if self._display is not None:
            self._display.update(_EMPTY, raw=True)
