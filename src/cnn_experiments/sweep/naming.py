"""Names of directories that a person can read and paste into a shell."""

import hashlib
import re
from collections.abc import Container, Iterable

_MAX_LENGTH = 80
_HASH_LENGTH = 8


def sweep_name(keys: Iterable[str]) -> str:
    """Return the name of a sweep, made of the keys that were typed, in any order: `model-batch_size-optimizer`.

    Values are not part of it, so that a sweep finds its directory again when values are added.
    """
    last_parts = {_to_safe_word(key.rpartition(".")[2]) for key in keys}
    ordered = sorted(last_parts, key=lambda part: (part != "model", part))
    return _shorten("-".join(ordered or ["sweep"]))


def run_name(words: Iterable[str], run_id: str) -> str:
    """Return the name of a run: words for what tells it from others, and the beginning of its hash."""
    return f"{_shorten('-'.join(map(_to_safe_word, words)))}-{hash_in_name(run_id)}"


def hash_in_name(run_id: str) -> str:
    """Return the part of a run's hash that is in the name of its directory."""
    return run_id[:_HASH_LENGTH]


def hash_of_name(name: str) -> str | None:
    """Return the part of a run's hash in the name of its directory, `lenet-seed0-01234567`, if it has one."""
    match = re.fullmatch(rf".*-([0-9a-f]{{{_HASH_LENGTH}}})(-\d+)?", name, re.DOTALL)
    return match[1] if match else None


def value_name(key: str, value: str, groups: Container[str]) -> str:
    """Return the option of a group by itself, another value after the last part of its key: `adam`, `lr0.1`.

    Of a class or function the last part of its name is returned: `ReLU`.
    """
    typed = value.lower() if value in ("True", "False") else value  # Hydra writes booleans as Python does
    if key.endswith("._target_"):
        return typed.rpartition(".")[2]
    return typed if key in groups else f"{key.rpartition('.')[2]}{typed}"


def _to_safe_word(word: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", word, flags=re.ASCII).strip("_")


def _shorten(name: str) -> str:
    """Return a name of limited length; what is cut off is replaced by four digits of its hash."""
    if len(name) <= _MAX_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:4]
    return f"{name[: _MAX_LENGTH - 5]}-{digest}"
