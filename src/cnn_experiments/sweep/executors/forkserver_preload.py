"""Imported once, by the process that all runs of a sweep are forked from; nothing is computed here.

That process ignores SIGTERM, which a service manager sends to all processes of a program, and SIGHUP, which a lost
terminal does: it has to report how the runs ended. It ends with the sweep.
"""

import atexit
import gc
import os
import signal

import cnn_experiments.config.composed
import cnn_experiments.tasks.train  # noqa: F401

_HANDLERS = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.SIG_DFL,
    signal.SIGHUP: signal.getsignal(signal.SIGHUP),  # nohup ignores it
}


def _restore_handlers() -> None:
    for signum, handler in _HANDLERS.items():
        signal.signal(signum, handler)


for _signum in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signum, signal.SIG_IGN)
os.register_at_fork(after_in_child=_restore_handlers)
gc.freeze()  # the imported modules are not collected, so that their memory stays shared
atexit.register(os._exit, 0)  # tearing down the imported modules would delay the end of the sweep
