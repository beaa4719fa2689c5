"""What a run says on the terminal."""

import logging

import rich


class ConsoleHandler(logging.Handler):
    """Prints messages as they are, above the progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Unwrapped, so that every message stays one line in a pipe or a file."""
        message = self.format(record)
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        rich.get_console().print(message, style=style, markup=False, highlight=False, soft_wrap=True)
