"""Where the configuration's files are, and which groups and options they make."""

from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir())
"""The configuration: inside an installed package, or at the top level of a checkout."""


def find_groups(directories: Iterable[Path]) -> set[str]:
    """Return all groups below some directories, nested ones too: `hydra/launcher`."""
    return {
        path.relative_to(directory).as_posix()
        for directory in directories
        for path in directory.rglob("*")
        if path.is_dir()
    }


def find_options(group: str, directories: Iterable[Path]) -> list[str]:
    """Return all options of a group, nested ones too: `book/adam/lenet`."""
    options = {
        path.relative_to(directory / group).with_suffix("")
        for directory in directories
        for path in (directory / group).rglob("*.yaml")
    }
    return sorted(option.as_posix() for option in options)


def begins_with_byte_order_mark(group: str, option: str, directories: Iterable[Path]) -> bool:
    """Return whether the file of an option begins with a byte order mark, which Hydra does not skip."""
    paths = [directory / group / f"{option}.yaml" for directory in directories]
    return any(path.is_file() and path.read_bytes().startswith(BOM_UTF8) for path in paths)
