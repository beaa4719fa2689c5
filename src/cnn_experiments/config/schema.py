"""What the settings may be. Torch is not imported here: a slip of the finger is answered at once."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cnn_experiments.errors import Refusal


def plain(config: DictConfig) -> dict[str, Any]:
    """All settings, resolved, in plain Python values."""
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys: {"optimizer": {"lr": 0.1}} to {"optimizer.lr": 0.1}."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


MISSING = "???"
"""What stands in a file for a value that must be given, as OmegaConf has it."""

FACTS = ("data.channels", "data.classes", "task.folder")
"""What is no setting, but stands in an option's file so that others can refer to it."""


OF_A_SWEEP = ("sweep", "on_error", "on_impossible", "retry_failed", "dry_run")
"""Settings of a whole sweep, which its runs know nothing of."""


@dataclass(frozen=True)
class Rule:
    """The values that a setting may take, in words and as a test."""

    allowed: str
    accepts: Callable[[Any], bool]

    def __or__(self, other: "Rule") -> "Rule":
        return Rule(f"{self.allowed} or {other.allowed}", lambda value: self.accepts(value) or other.accepts(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def whole(least: int, most: float = math.inf) -> Rule:
    """Whole numbers in a range, ends included."""
    words = f"a whole number from {least} to {most}" if most < math.inf else f"a whole number of {least} or more"
    return Rule(words, lambda value: _is_whole(value) and least <= value <= most)


def one_of(*words: str) -> Rule:
    """One of a few words."""
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


def list_of(each: Rule) -> Rule:
    """Lists whose elements all take the rule."""
    words = each.allowed.removeprefix("a ")
    return Rule(f"a list of {words}s", lambda value: isinstance(value, list) and all(map(each.accepts, value)))


NULL = Rule("null", lambda value: value is None)
TEXT = Rule("text", lambda value: isinstance(value, str))
WHOLE = Rule("a whole number", _is_whole)
NUMBER = Rule("a number", _is_number)
SWITCH = Rule("true or false", lambda value: isinstance(value, bool))
LIST = Rule("a list", lambda value: isinstance(value, list))
POSITIVE = Rule("a number above 0", lambda value: _is_number(value) and value > 0)
NOT_NEGATIVE = Rule("a number of 0 or more", lambda value: _is_number(value) and value >= 0)
BELOW_ONE = Rule("a number from 0 up to, but not including, 1", lambda value: _is_number(value) and 0 <= value < 1)
SHARE = Rule("a share above 0.0 and up to 1.0", lambda value: isinstance(value, float) and 0 < value <= 1)

NAME = Rule(
    "letters, digits, points, dashes and underscores, at most 80, with no point or dash in front",
    lambda value: isinstance(value, str) and bool(re.fullmatch(r"\w[\w.-]{0,79}", value, re.ASCII)),
)

RULES: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "ckpt_path": TEXT | NULL,
    "label_smoothing": BELOW_ONE,
    "memory_format": one_of("contiguous", "channels_last"),
    "sweep": NULL | NAME,
    "on_error": one_of("continue", "stop"),
    "on_impossible": one_of("refuse", "drop"),
    "data.batch_size": whole(1),
    "data.val_size": whole(0),
    "data.resize": whole(1) | NULL,
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": BELOW_ONE,
    "optimizer.weight_decay": NOT_NEGATIVE,
    "trainer.devices": whole(1) | list_of(WHOLE),
    "trainer.num_nodes": whole(1),
    "trainer.precision": TEXT | WHOLE,
    "trainer.max_epochs": whole(1),
    "trainer.limit_train_batches": whole(1) | SHARE | NULL,
    "trainer.limit_val_batches": whole(1) | SHARE | NULL,
    "trainer.limit_test_batches": whole(1) | SHARE | NULL,
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.gradient_clip_val": POSITIVE | NULL,
    "trainer.deterministic": SWITCH | Rule("warn", lambda value: value == "warn"),
}
"""Settings whose default does not tell what else they may be. All others keep the type of their default."""


def _rule_of(default: Any) -> Rule | None:
    """What a value may be that takes the place of `default`; None where that does not tell."""
    if default == MISSING:
        return None
    if default == []:
        return LIST
    for rule in (SWITCH, WHOLE, NUMBER, TEXT, list_of(WHOLE), list_of(NUMBER), LIST):
        if rule.accepts(default):
            return rule
    return None


def near(word: str, words: Iterable[str], cutoff: float = 0.5) -> str:
    """What `word` may have been meant to be, as the end of a refusal."""
    nearest = get_close_matches(word, list(words), n=1, cutoff=cutoff)
    return f"; the nearest is {nearest[0]}" if nearest else ""


def with_nearest(refused: str) -> str:
    """Adds the nearest of the words to a line such as `augment=flop: must be one of none, flip`."""
    parts = re.fullmatch(r"[\w.]+=(.*?): must be one of ([\w, ]+)", refused)
    return refused + near(parts[1], parts[2].split(", ")) if parts else refused


def unknown_key(key: str, value: Any, known: Iterable[str]) -> Refusal:
    """The refusal of a setting that is not there."""
    leaves = list(known)
    groups = {leaf.rpartition(".")[0] for leaf in leaves} - {""}
    parent = key.rpartition(".")[0]
    while parent and parent not in groups:
        parent = parent.rpartition(".")[0]
    start = f"{parent}." if parent else ""
    siblings = sorted({leaf.removeprefix(start).partition(".")[0] for leaf in leaves if leaf.startswith(start)})
    allowed = ", ".join(name for name in siblings if not name.startswith("_"))
    same_name = [leaf for leaf in leaves if leaf.rpartition(".")[2] == key.rpartition(".")[2]]
    nearest = near(key, [*leaves, *groups], cutoff=0.6) or near(key, same_name, cutoff=0.0)
    place = f"in {parent}" if parent else "at the top"
    return Refusal(f"{key}={text(value)}: there is no such setting; allowed {place}: {allowed}{nearest}")


def text(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Holds settings against those of the chosen options alone.

    Raises:
        Refusal: a setting is unknown, gone, of the wrong type or out of range.
    """
    chosen, known = flat(settings), flat(defaults)
    open_ended = tuple(f"{key}." for key, value in known.items() if value is None)  # may be anything, nested too
    # Those at the top first: others refer to them.
    for key, value in sorted(chosen.items(), key=lambda item: item[0].count(".")):
        if key.startswith(open_ended):
            continue
        if value == MISSING:
            raise Refusal(f"{key}={MISSING}: must be given")
        if key not in known:
            raise unknown_key(key, value, known)
        if key in FACTS and value != known[key]:
            raise Refusal(f"{key}={text(value)}: must be {known[key]}, a fact of the chosen option and no setting")
        rule = RULES.get(key) or _rule_of(known[key])
        if rule is not None and not rule.accepts(value):
            raise Refusal(with_nearest(f"{key}={text(value)}: must be {rule.allowed}"))
    for key in known:
        if key not in chosen and f"{key}." not in open_ended:
            raise Refusal(f"~{key}: a setting can't be taken away; the default is {key}={text(known[key])}")
