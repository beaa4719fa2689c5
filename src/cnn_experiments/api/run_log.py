"""The log of a run that Python asks for: printed and written to its run.log, as the command does."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cnn_experiments.console import ConsoleHandler
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runtime.third_party_warnings import filter_third_party_warnings

FORMAT = "[%(asctime)s][%(levelname)s] %(message)s"
"""The format of the command's run.log, in conf/hydra/job_logging/run_log.yaml."""
_PACKAGE = __package__.partition(".")[0]
_WARNINGS = "py.warnings"
_LEVELS = {
    _PACKAGE: logging.INFO,
    _WARNINGS: logging.WARNING,
    "lightning.pytorch": logging.WARNING,
    "lightning.fabric": logging.WARNING,
}


@contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Print what the block logs, and append it to a file; afterwards logging and warnings are as they were.

    Nothing is printed twice, whatever handlers the notebook or script has installed. An error that ends the block is
    only written, because who asked for the run gets it.

    Args:
        path: the file.

    Raises:
        OSError: it can't be written.
    """
    file = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter(FORMAT))
    console = ConsoleHandler()
    with ExitStack() as stack:
        stack.callback(file.close)
        for name, level in _LEVELS.items():
            stack.enter_context(_handlers(logging.getLogger(name), [console, file], level))
        root = logging.getLogger()  # of what the user's own modules log; without a handler, it prints warnings
        root_handlers = [*root.handlers, file] if root.handlers else [console, file]
        stack.enter_context(_handlers(root, root_handlers, root.level))
        stack.enter_context(_logged_warnings())
        try:
            yield
        except (ConfigError, RunFailedError) as error:
            message = f"failed: {' '.join(str(error).split())}"
            file.handle(logging.LogRecord(_PACKAGE, logging.ERROR, "", 0, message, None, None))
            raise


@contextmanager
def _handlers(logger: logging.Logger, handlers: list[logging.Handler], level: int) -> Iterator[None]:
    own_handlers, own_level, own_propagate = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = list(handlers), False
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = own_handlers, own_propagate
        logger.setLevel(own_level)


@contextmanager
def _logged_warnings() -> Iterator[None]:
    """Log each warning in one line."""

    def log_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        logging.getLogger(_WARNINGS).warning("%s: %s", category.__name__, message)

    with warnings.catch_warnings():
        filter_third_party_warnings()
        warnings.showwarning = log_warning  # catch_warnings() restores it
        yield
