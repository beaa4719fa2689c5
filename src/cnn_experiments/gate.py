"""What happens between a command and its runs: settings are checked, then a folder is claimed.

A task that leaves no folder has no runs: it is done with all jobs at once, here, and the program ends.

Hydra calls this when the configuration is composed and before it writes anything.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.errors import Refusal
from cnn_experiments.settings import check, flat, near, plain, text, unknown_key

_PACKAGE = Path(__file__).parent
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir())
"""The configuration: inside an installed package, at the top level of a checkout."""

_OF_ONE_OPTION = {"model", "init", "optimizer", "scheduler"}
"""Groups whose values mean something else for another option."""
_MANY = 25
"""Options that a refusal does not list all of."""


class Gate(Callback):
    """Lets a run or a sweep through, or ends the program with one line and status 2."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks one run and claims its folder."""
        with refusing():
            _admit(config, [config], "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks every combination of a sweep before the first starts, and claims the sweep's folder."""
        with refusing():
            loader = GlobalHydra.instance().config_loader()
            swept = [f"{key}={values}" for key, values in (config.hydra.sweeper.get("params") or {}).items()]
            parser = OverridesParser.create(config_loader=loader)
            overrides = parser.parse_overrides([*swept, *config.hydra.overrides.task])
            batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
            configs = [_composed(loader, config, list(job)) for batch in batches for job in batch]
            _admit(config, configs, "sweep")


def _composed(loader: ConfigLoader, sweep: DictConfig, overrides: list[str]) -> DictConfig:
    """One job of a sweep; a refusal says which."""
    try:
        return loader.load_sweep_config(sweep, overrides)
    except HydraException as error:
        raise Refusal(f"{explain(error, overrides)} (in {' '.join(overrides)})") from error


def _admit(config: DictConfig, jobs: list[DictConfig], kind: str) -> None:
    """The first process of a run or sweep checks it and claims the folder; the others follow."""
    first = not _follower()
    if first:
        _check_all(jobs)
    if not all(job.task.folder for job in jobs):
        if first:
            _do_at_once(jobs)
        sys.exit(0)
    if first:
        _claim(config, kind)


def _follower() -> bool:
    """Whether another process of the same run has been here before."""
    return any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


@contextmanager
def refusing() -> Iterator[None]:
    """Ends the program with one line where input is bad. Hydra would make any other exception a warning."""
    try:
        yield
    except (Refusal, HydraException, OmegaConfBaseException, YAMLError) as error:
        print(explain(error), file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if str(error).startswith("Config group override must be a string"):  # Hydra, of a group that is null
            groups = [word for word in sys.argv if (CONF / word.strip("+").partition("=")[0]).is_dir() and "=" in word]
            nameless = [word for word in groups if re.fullmatch(r"[^=]+=(null|true|false|[\d.]+)", word)]
            print(f"{' '.join(nameless)}: must name an option of that group", file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        sys.exit(1)


def _check_all(configs: list[DictConfig]) -> None:
    """What needs no torch first: that takes seconds to import."""
    loader = GlobalHydra.instance().config_loader()
    defaults = [plain(_job(_defaults(config, loader))) for config in configs]
    for config, without in zip(configs, defaults, strict=True):
        with _naming(config, without):
            _check_recipe(config, without)
            check(plain(_job(config)), without)

    from cnn_experiments.experiment import check_parts

    for config, without in zip(configs, defaults, strict=True):
        with _naming(config, without):
            check_parts(_job(config))


def _check_recipe(config: DictConfig, without: dict[str, Any]) -> None:
    """A recipe's values are for its own options."""
    recipe = config.hydra.runtime.choices.get("experiment")
    if recipe is None:
        return
    if "experiment" in config:
        raise Refusal(f"experiment={recipe}: must begin with the line # @package _global_")
    typed = _typed(config)
    for group in sorted(_OF_ONE_OPTION & typed.keys()):
        kept = [
            f"{key}={text(value)}"
            for key, value in flat(plain(_job(config))).items()
            if key.startswith(f"{group}.") and key not in typed and value != flat(without).get(key)
        ]
        if kept:
            raise Refusal(
                f"{group}={typed[group]}: must be left out beside experiment={recipe}, "
                f"which sets {' '.join(kept)} for its own {group}"
            )


def _typed(config: DictConfig) -> dict[str, str]:
    """The overrides of a command or a job of a sweep, by key."""
    pairs = (override.lstrip("+").partition("=") for override in config.hydra.overrides.task)
    return {key: value for key, _, value in pairs}


@contextmanager
def _naming(config: DictConfig, without: dict[str, Any]) -> Iterator[None]:
    """A refusal says which recipe set the value, and in a sweep, which combination it is about."""
    try:
        yield
    except Refusal as refusal:
        said = str(refusal)
        key = said.partition("=")[0]
        recipe = config.hydra.runtime.choices.get("experiment")
        if recipe and key not in _typed(config) and flat(plain(_job(config))).get(key) != flat(without).get(key):
            said += f" (set by experiment={recipe})"
        if config.hydra.mode == RunMode.MULTIRUN:
            said += f" (in {' '.join(config.hydra.overrides.task)})"
        raise Refusal(said) from refusal


def _do_at_once(configs: list[DictConfig]) -> None:
    """Does a task that leaves no folder, for all jobs together."""
    tasks = list(dict.fromkeys(config.hydra.runtime.choices.task for config in configs))
    if len(tasks) > 1:
        raise Refusal(f"task={','.join(tasks)}: must be one task, because one of these leaves no runs")
    overrides = [list(config.hydra.overrides.task) for config in configs]
    shared = set(overrides[0]).intersection(*overrides)
    varied = [[each for each in given if each not in shared and not each.startswith("model=")] for given in overrides]
    names = [
        " ".join([config.hydra.runtime.choices.model, *each]) for config, each in zip(configs, varied, strict=True)
    ]
    get_method(configs[0].task._target_)(list(zip(names, map(_job, configs), strict=True)))


def _job(config: DictConfig) -> DictConfig:
    """The settings without Hydra's own, which stand before the job that they refer to."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _defaults(config: DictConfig, loader: ConfigLoader) -> DictConfig:
    """The chosen options as they are without a single value overridden, on the command line or in an experiment."""
    added = {override[1:].partition("=")[0] for override in config.hydra.overrides.task if override.startswith("+")}
    choices = [
        f"{'+' if group in added else ''}{group}={choice}"
        for group, choice in config.hydra.runtime.choices.items()
        if group.partition("/")[0] in config and choice is not None
    ]
    searched = [override for override in config.hydra.overrides.hydra if override.startswith("hydra.searchpath=")]
    return loader.load_configuration(config.hydra.job.config_name, choices + searched, run_mode=RunMode.RUN)


def _claim(config: DictConfig, kind: str) -> None:
    """Makes the folder of a run or sweep; of two processes that want it, one gets it."""
    HydraConfig.instance().set_config(config)  # the folder's name refers to it
    key = f"hydra.{kind}.dir"
    wanted = Path(config.hydra[kind].dir)
    chosen = any(override.startswith(f"{key}=") for override in config.hydra.overrides.hydra)
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if chosen:
                raise Refusal(f"{key}={wanted}: must be a new folder; this one is there already") from None
    with read_write(config.hydra):
        config.hydra[kind].dir = str(folder)
        # The jobs of a sweep are composed afresh, from the overrides.
        config.hydra.overrides.hydra.append(f"{key}={folder}")


def explain(error: Exception, overrides: list[str] | None = None) -> str:
    """One line for what Hydra and OmegaConf say in many of these overrides; without any, of the command line's."""
    if isinstance(error, Refusal):
        return str(error)
    said = str(error)
    if isinstance(error, MissingConfigException):
        missing = str(error.missing_cfg_file)
        group, _, option = missing.partition("/")
        if group == "hydra":
            group, _, option = missing.rpartition("/")
        if options := error.options if group.startswith("hydra") else _options(group):
            return f"{group}={option}: there is no such option; allowed: {_listed(option, options)}"
    if unknown := re.search(r"^Could not override .*use \+([^=]+)=(.*)$", said, re.DOTALL):
        key, value = unknown.groups()
        return str(unknown_key(key, value, _known_keys(overrides, besides=key)))
    if chosen := re.search(r"^Multiple values for (\S+?)\. ", said):
        return f"+{chosen[1]}: an option of {chosen[1]} is chosen already; choose another without the +"
    if known := re.search(r"^Could not append to config. An item is already at '(.+?)'", said):
        return f"+{known[1]}: the setting is there already; leave the + out"
    if sweep := re.search(r"^(?:Ambiguous value for argument|Sweep parameters) '(.*?)'", said):
        return f"{sweep[1]}: several values make a sweep, which needs -m"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: can't be read as KEY=VALUE ({said.splitlines()[0]})"
    parts = [said, str(error.__cause__ or "")]
    return ": ".join(" ".join(part.split()) for part in parts if part)


def _listed(option: str, options: Sequence[str]) -> str:
    """All options and the nearest; of many, those that stand in a folder with the nearest."""
    nearest = near(option, options)
    if len(options) > _MANY and nearest:
        folder = nearest.rpartition(" ")[2].rpartition("/")[0]
        return f"{', '.join(each for each in options if each.rpartition('/')[0] == folder)}, ...{nearest}"
    return f"{', '.join(options)}{nearest}"


def _options(group: str) -> list[str]:
    """All options of a group, those in folders of their own too: `book/adam/lenet`."""
    arguments, _ = get_args_parser().parse_known_args()
    folders = [folder / group for folder in (CONF, Path(arguments.config_dir or CONF))]
    found = {path.relative_to(folder).with_suffix("") for folder in folders for path in folder.rglob("*.yaml")}
    return sorted(path.as_posix() for path in found)


def _known_keys(overrides: list[str] | None, besides: str) -> list[str]:
    """All settings under the options chosen, Hydra's own among them."""
    arguments, _ = get_args_parser().parse_known_args()
    simple = re.compile(r"\+?(?P<group>[\w/]+)=\w+")
    chosen = [
        given
        for given in overrides or arguments.overrides
        if (is_ := simple.fullmatch(given)) and is_["group"] != besides
    ]
    if arguments.config_dir:
        chosen.append(f"hydra.searchpath=[file://{Path(arguments.config_dir).absolute()}]")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            config = compose("config", chosen, return_hydra_config=True)
        except HydraException:  # another slip; that one is answered when this is mended
            config = compose("config", return_hydra_config=True)
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    groups = [folder.name for folder in CONF.iterdir() if folder.is_dir()]
    return [*flat({str(key): value for key, value in container.items()}), *groups]
