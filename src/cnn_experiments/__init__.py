"""Classic convolutional networks as exact, fast, repeatable experiments.

From a notebook or a script:

    import cnn_experiments

    run = cnn_experiments.train("model=lenet", "trainer.max_epochs=1")   # or load("outputs/...")
    run.predict("photo.png")
    cnn_experiments.runs("outputs").leaderboard()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_experiments.api.run import LoadedRun, load
    from cnn_experiments.api.run_list import runs
    from cnn_experiments.api.training import train
    from cnn_experiments.errors import ConfigError, RunFailedError

__all__ = ["ConfigError", "LoadedRun", "RunFailedError", "load", "runs", "train"]

_MODULES = {
    "ConfigError": "errors",
    "LoadedRun": "api.run",
    "RunFailedError": "errors",
    "load": "api.run",
    "train": "api.training",
}
"""Where each name is, so that `import cnn_experiments` imports nothing: the command line does it first."""


def __getattr__(name: str) -> Any:
    if name == "runs":  # the package, which can be called
        return importlib.import_module("cnn_experiments.runs")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
