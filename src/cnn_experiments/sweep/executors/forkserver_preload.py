"""Imported once, by the process that all runs of a sweep are forked from; nothing is computed here.

It outlives a SIGTERM, which a service manager sends to all processes of a program: it is the one that knows how the
runs end. It ends with the sweep.
"""

import atexit
import gc
import os
import signal

import cnn_experiments.config.composed
import cnn_experiments.tasks.train  # noqa: F401


def _listen() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)


signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=_listen)
gc.freeze()  # what is imported is not looked through, and its memory stays shared
atexit.register(os._exit, 0)  # taking apart what is imported would hold up the end of the sweep
