"""Names of folders: a person can read them, and the shell can paste them."""

import hashlib
import re
from collections.abc import Container, Iterable

_LONGEST = 80


def sweep_name(keys: Iterable[str]) -> str:
    """The name of a sweep, made of the keys typed, in any order: `model-batch_size-optimizer`.

    Values are not in it, so that a sweep finds its folder again when values are added to it.
    """
    last = sorted({_safe(key.rpartition(".")[2]) for key in keys}, key=lambda key: (key != "model", key))
    return _cut("-".join(last or ["sweep"]))


def run_name(words: Iterable[str], identity: str) -> str:
    """The name of a run: words on what tells it from others, and a short hash of all its settings."""
    return f"{_cut('-'.join(map(_safe, words)))}-{identity[:8]}"


def word(key: str, value: str, groups: Container[str]) -> str:
    """The option of a group stands for itself, another value behind the last part of its key: `adam`, `lr0.1`."""
    typed = value.lower() if value in ("True", "False") else value  # Hydra writes values as Python does
    return typed if key in groups else f"{key.rpartition('.')[2]}{typed}"


def _safe(word: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", word, flags=re.ASCII).strip("_")


def _cut(name: str) -> str:
    """Settings that are cut off live on in four digits."""
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"{name[: _LONGEST - 5]}-{digest}"
