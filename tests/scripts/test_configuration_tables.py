"""Tests that the reference of the configuration lists every file and every key of `conf/`, and what each row says."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from configuration_files import Option, Setting, read_main_settings, read_options
from configuration_tables import configuration_parts
from setting_values import values_of

from cnn_experiments.config.sources import CONF
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def working_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("working_directory")


@pytest.fixture(scope="module")
def parts(working_directory: Path) -> Mapping[str, str]:
    with contextlib.chdir(working_directory):
        return configuration_parts(read_options(CONF), read_main_settings(CONF))


@pytest.mark.usefixtures("parts")
def test_making_the_tables_writes_nothing(working_directory: Path) -> None:
    assert list(working_directory.iterdir()) == []


def keys_of(content: Any, *parents: str) -> Iterator[str]:
    """Yield the keys of a file, read without the code that is tested."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            if not name.startswith("_") and name != "defaults":
                yield from keys_of(value, *parents, name)
    else:
        yield ".".join(parents)


def group_of(path: Path) -> str:
    names = path.relative_to(CONF).parts
    return "/".join(names[:2]) if names[0] == "hydra" else names[0]


def test_tables_have_every_option_and_every_key(parts: Mapping[str, str]) -> None:
    missing = []
    for path in CONF.rglob("*/*.yaml"):
        group = group_of(path)
        name = path.relative_to(CONF / group).with_suffix("").as_posix()
        table = group.replace("/", "_")
        if f"| `{name}` |" not in parts[f"options/{table}"]:
            missing.append(f"{group}={name}")
        content = yaml.safe_load(path.read_text())
        if group in ("experiment", "hydra/job_logging") or name.startswith("optuna/"):
            continue
        keys = set(keys_of(content)) if group == "task" else set(keys_of(content, *group.split("/")))
        missing += [key for key in keys - {group, "task", ""} if f"| `{key}` |" not in parts[f"settings/{table}"]]
    assert missing == []


def test_tables_have_every_key_outside_of_the_groups(parts: Mapping[str, str]) -> None:
    content = yaml.safe_load((CONF / "config.yaml").read_text())
    keys = {key for key in content if not (CONF / key).is_dir()} - {"defaults"}
    keys |= {"hydra.run.dir", "hydra.sweep.dir"}
    rows = parts["settings/run"] + parts["settings/sweep"]
    assert {key for key in keys if f"| `{key}` |" not in rows} == set()
    assert rows.count("\n| `") == len(keys)


@pytest.mark.parametrize(
    ("part", "row"),
    [
        ("settings/run", "| `on_error`"),
        ("settings/sweep", "| `seed`"),
    ],
)
def test_settings_of_a_run_and_of_a_sweep_are_apart(parts: Mapping[str, str], part: str, row: str) -> None:
    assert row not in parts[part]


@pytest.mark.parametrize(
    ("part", "row"),
    [
        # a rule of the schema, with its limit
        ("settings/optimizer", "| `optimizer.lr` | a number &gt; 0, at most 1,000,000 | `0.001` (adam, adamw, radam); `0.0001` (lion); `0.002` (nadam); `0.01` (rmsprop); `0.1` (sgd) | learning rate, which the scheduler may change |"),
        # the type of the default
        ("settings/optimizer", "| `optimizer.alpha` | a number | `0.99` (rmsprop) | smoothing of the squared gradients |"),
        # what a constructor rejects
        ("settings/model", "| `model.pool` | one of max, avg, stride | `max` (lenet, lenet_bn) | after every convolution: max, avg; stride: none, and convolutions have a stride of 2 |"),
        ("settings/model", "| `model.num_1x1_convs` | an integer &gt;= 0 | `2` (nin) | 1x1 convolutions per block |"),
        ("settings/augment", "| `augment.crop.padding` | an integer, at least 1 | `4` | pixels on each side |"),
        ("settings/hydra_launcher", "| `hydra.launcher.mem_gb` | an integer from 1 to 1000000 or null | `8` (slurm) | memory in GB, for each run |"),
        ("settings/scheduler", "| `scheduler.interval` | one of step, epoch | `epoch` (exponential, multistep) | step or epoch, after which the rate may change |"),
        # the type of a parameter
        ("settings/metrics", "| `metrics.auroc.thresholds` | an integer or a list of numbers or null | `null` | null computes it exactly and keeps all logits until the split ends; a number of thresholds keeps none |"),
        ("settings/model", r"| `model.norm_layers` | a list of integers or null | `null` (lenet, lenet_bn) | numbers of the normalized layers, convolutions first: [1, 2], \[4], ...; null: all |"),
        # defaults that follow from something else
        ("settings/callbacks", "| `callbacks.early_stopping.monitor` | a string | that of `monitor` | the metric |"),
        ("settings/data", "| `data.classes` | fixed | by `data.split` (emnist) | fixed by split |"),
        ("options/model", "| `lenet_bn` | LeNet-5 with batch normalization before every sigmoid. 44,878 parameters. `lenet` with `model.norm=batch`. | `cnn_experiments.models.LeNet` |"),
        ("options/experiment", "| `best/alexnet` | Reported (see docs/results.md): .907, the best of its network | `best_adamw` with `model=alexnet model.padding=1 data.resize=224` |"),
    ],
)  # fmt: skip
def test_rows(parts: Mapping[str, str], part: str, row: str) -> None:
    assert row in parts[part].splitlines()


def test_setting_of_which_nothing_says_the_values_is_an_error() -> None:
    setting = Setting("model.width", None, "units")
    option = Option("model", "mine", "", (), (), None, (setting,), (setting,))
    with pytest.raises(ValueError, match=r"model\.width: nothing says which values it may have"):
        values_of(setting, option, {})


def test_page_includes_every_table(parts: Mapping[str, str]) -> None:
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert [name for name in parts if f"{{include}} ../generated/configuration/{name}.md\n" not in page] == []
