"""Imported once, by the process that all runs of a sweep are forked from; nothing is computed here.

That process ignores SIGTERM, which a service manager sends to all processes of a program, and SIGHUP, which a terminal
sends when it is closed: it has to report how the runs ended. It ends with the sweep.
"""

import atexit
import gc
import os
import signal

from hydra.core.plugins import Plugins

import cnn_experiments.config.command_line
import cnn_experiments.config.composed
import cnn_experiments.tasks.train
import cnn_experiments.training.preflight  # noqa: F401

Plugins.instance()  # imports what Hydra would search for at the start of every run

_hangup_handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _restore_handlers() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, _hangup_handler)  # nohup lets runs ignore it


signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=_restore_handlers)
gc.freeze()  # the imported modules are not collected, so that their memory stays shared
atexit.register(os._exit, 0)  # tearing down the imported modules would delay the end of the sweep
