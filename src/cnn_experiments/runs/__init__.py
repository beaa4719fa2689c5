"""One run on disk: its directory, its status, its results and what can be read from them. No torch, no Hydra.

The package is also the function `cnn_experiments.runs("outputs")`, because two things can't have one name.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Return all runs at and below some directories: see `cnn_experiments.api.run_list.runs`."""
        return importlib.import_module("cnn_experiments.api.run_list").runs(*arguments, **keywords)


sys.modules[__name__].__class__ = _CallablePackage
