"""Bad input in one line, and status 2."""

import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.config.schema import flat, near, unknown_key
from cnn_experiments.errors import Refusal

_PACKAGE = Path(__file__).parents[1]
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir())
"""The configuration: inside an installed package, at the top level of a checkout."""

_MANY = 25
"""Options that a refusal does not list all of."""


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
            nameless = [word for word in groups if re.search(r"[=,](null|true|false|[\d.]+)(,|$)", word)]
            print(f"{' '.join(nameless)}: must name an option of that group", file=sys.stderr)
            sys.exit(2)
        traceback.print_exc()
        sys.exit(1)


def explain(error: Exception, overrides: list[str] | None = None) -> str:
    """One line for what Hydra and OmegaConf say in many of these overrides; without any, of the command line's."""
    if isinstance(error, Refusal):
        return str(error)
    said = str(error)
    if isinstance(error, MissingConfigException):
        missing = str(error.missing_cfg_file)
        group, _, option = missing.partition("/")
        if group == "hydra":
            _, kind, option = missing.split("/", 2)
            group = f"hydra/{kind}"
        if options := sorted({*_options(group), *((error.options or []) if group.startswith("hydra") else [])}):
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
    if isinstance(error, InstantiationException) and (part := re.search(r"full_key: (\S+)", said)):
        return f"{part[1]}.{error.__cause__}"
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
