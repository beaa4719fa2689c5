"""Tests of the callback that checks a run and claims its directory before Hydra writes anything."""

import errno
import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, read_write

from cnn_experiments import tasks
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.runs import lock
from hydra_plugins import cnn_experiments_callbacks
from hydra_plugins.cnn_experiments_callbacks import RunDirectoryCallback


def compose_command(*overrides: str) -> DictConfig:
    return config_loader().load_configuration("config", list(overrides), run_mode=RunMode.RUN)


@pytest.fixture(autouse=True)
def empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.setattr(sys, "argv", ["program"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check of the settings, for tests of directories."""
    Plugins.instance()  # executes the modules of all plugins again, the first time
    monkeypatch.setattr(cnn_experiments_callbacks, "preflight", lambda *_, **__: None)


def run_rejected(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """Start a run that must be rejected, and return its error message."""
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(compose_command(*overrides))
    assert system_exit.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    return errors


def write_results(directory: Path, status: str, *overrides: str) -> None:
    directory.mkdir(parents=True)
    results = {
        "status": status,
        "model": "lenet",
        "data": "fashion_mnist",
        "overrides": [],
        "seed": 0,
        "metrics": {},
        "identity": ComposedConfig.from_overrides(*overrides).run_id,
    }
    (directory / "results.json").write_text(json.dumps(results))


@pytest.mark.usefixtures("without_check")
def test_runs_of_the_same_second_get_directories_of_their_own(tmp_path: Path) -> None:
    directories = []
    for _ in range(3):
        config = compose_command()
        with read_write(config.hydra):
            config.hydra.run.dir = "outputs/20-00-00-lenet"
        RunDirectoryCallback().on_run_start(config)
        directories.append(config.hydra.run.dir)
    assert directories == [f"outputs/20-00-00-lenet{suffix}" for suffix in ("", "-2", "-3")]
    assert all((tmp_path / directory).is_dir() for directory in directories)


@pytest.mark.usefixtures("without_check")
def test_named_directory_must_be_new(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").touch()
    line = run_rejected(capsys, "hydra.run.dir=mine")
    assert line == (
        "hydra.run.dir=mine: must be a new directory, or one in which this same run stopped; it holds other files\n"
    )


@pytest.mark.usefixtures("without_check")
def test_directory_of_a_damaged_run_is_rejected_with_what_is_damaged(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/results.json").write_text("[]")
    line = (
        "hydra.run.dir=mine: must be a new directory, or one in which this same run stopped; "
        "its results.json is damaged (must hold an object, not a list)"
    )
    assert run_rejected(capsys, "hydra.run.dir=mine") == f"{line}\n"
    Path("mine/checkpoints").mkdir()
    Path("mine/checkpoints/last.ckpt").touch()
    remedy = "ckpt_path=mine with another hydra.run.dir continues from its last checkpoint"
    assert run_rejected(capsys, "hydra.run.dir=mine") == f"{line}; {remedy}\n"


@pytest.mark.usefixtures("without_check")
def test_named_directory_must_not_be_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").touch()
    line = "must be a directory; a part of the path is a file, or a link to nothing; choose another one with"
    assert run_rejected(capsys, "hydra.run.dir=mine") == f"hydra.run.dir=mine: {line} hydra.run.dir=DIRECTORY\n"


@pytest.mark.usefixtures("without_check")
def test_dangling_link_as_the_directory_of_all_runs_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    Path("outputs").symlink_to("/nonexistent/directory")
    config = compose_command()
    with read_write(config.hydra):
        config.hydra.run.dir = "outputs/20-00-00-lenet"
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(config)
    assert system_exit.value.code == 2
    line = "must be a directory; a part of the path is a file, or a link to nothing; choose another one with"
    expected = f"hydra.run.dir=outputs/20-00-00-lenet: {line} hydra.run.dir=DIRECTORY\n"
    assert capsys.readouterr().err == expected


@pytest.mark.usefixtures("without_check")
@pytest.mark.parametrize(
    ("directory", "problem"),
    [
        ("file/run", "must be a directory; a part of the path is a file"),
        ("a" * 300, "must be a shorter path; this file system does not allow such a long one"),
        ("/".join(["a"] * 3000), "must be a shorter path; this file system does not allow such a long one"),
        ("/proc/run", "can't be used: No such file or directory"),
    ],
)
def test_directory_that_cannot_be_made_is_rejected(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, directory: str, problem: str
) -> None:
    Path("file").touch()
    line = run_rejected(capsys, f"hydra.run.dir={directory}")
    assert line == f"hydra.run.dir={directory}: {problem}; choose another one with hydra.run.dir=DIRECTORY\n"
    assert [path.name for path in tmp_path.iterdir() if path.name != "a"] == ["file"]


@pytest.mark.usefixtures("without_check")
def test_control_characters_in_a_directory_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    line = run_rejected(capsys, 'hydra.run.dir="a\nb"')
    assert line == "hydra.run.dir='a\\nb': must not have control characters\n"


@pytest.mark.usefixtures("without_check")
def test_command_of_a_completed_run_says_so_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    write_results(Path("mine"), "completed", "seed=1")
    before = Path("mine/results.json").read_text()
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(compose_command("hydra.run.dir=mine", "seed=1", "restart=true"))
    assert system_exit.value.code == 0
    assert capsys.readouterr() == ("already completed: mine\n", "")
    assert [path.name for path in Path("mine").iterdir()] == ["results.json"]
    assert Path("mine/results.json").read_text() == before


@pytest.mark.usefixtures("without_check")
def test_log_that_is_a_link_is_not_written_through(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("elsewhere").write_text("mine")
    Path("mine/run.log").symlink_to("../elsewhere")
    line = run_rejected(capsys, "hydra.run.dir=mine")
    assert line == "hydra.run.dir=mine: mine/run.log must be a regular file, not a link\n"


@pytest.mark.usefixtures("without_check")
def test_rank_that_is_no_number_is_rejected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "x")
    assert run_rejected(capsys) == "RANK=x: must be an integer >= 0 (an environment variable); unset it\n"


@pytest.mark.usefixtures("without_check")
@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_run_with_a_single_process_claims_its_directory_whatever_its_rank(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    RunDirectoryCallback().on_run_start(compose_command("hydra.run.dir=mine"))
    assert Path("mine/.lock").exists()
    lock.release(Path("mine"))


@pytest.mark.usefixtures("without_check")
def test_only_the_first_process_says_why_a_run_is_rejected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    line = "hydra.run.dir: must be given with torchrun: all processes of the run need the same directory\n"
    assert run_rejected(capsys, "trainer=ddp") == line
    monkeypatch.setenv("RANK", "1")
    assert run_rejected(capsys, "trainer=ddp") == ""


@pytest.mark.usefixtures("without_check")
@pytest.mark.parametrize("status", ["completed", "interrupted"])
def test_named_directory_with_another_run_is_rejected(capsys: pytest.CaptureFixture[str], status: str) -> None:
    write_results(Path("mine"), status, "seed=1")
    assert run_rejected(capsys, "hydra.run.dir=mine", "seed=2") == (
        "hydra.run.dir=mine: must be a new directory, or one in which this same run stopped; it holds another run\n"
    )


@pytest.mark.usefixtures("without_check")
def test_named_directory_in_which_this_run_stopped_is_used() -> None:
    write_results(Path("mine"), "interrupted", "seed=1")
    config = compose_command("hydra.run.dir=mine", "seed=1")
    RunDirectoryCallback().on_run_start(config)
    assert config.hydra.run.dir == "mine"
    lock.release(Path("mine"))


@pytest.mark.usefixtures("without_check")
@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "SLURM_PROCID"])
def test_other_processes_of_a_run_use_the_directory_of_the_first(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    monkeypatch.setenv(variable, "1")
    config = compose_command("hydra.run.dir=mine")
    RunDirectoryCallback().on_run_start(config)
    assert config.hydra.run.dir == "mine"


@pytest.mark.usefixtures("without_check")
def test_task_without_a_run_directory_writes_nothing(tmp_path: Path) -> None:
    config = compose_command("task=inspect")
    RunDirectoryCallback().on_run_start(config)
    assert config.hydra.run.dir == "."
    assert config.hydra.output_subdir is None
    assert "file" not in config.hydra.job_logging.handlers
    assert "file" not in config.hydra.job_logging.root.handlers
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optimizer.lr=fast"], "optimizer.lr=fast: must be a number > 0"),
        (
            ["data.resize=15"],
            "data.resize=15: this network needs images of at least 16 pixels, these have 15; did you mean data.resize=16?",
        ),
    ],
)
def test_bad_settings_are_rejected_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, overrides: list[str], line: str
) -> None:
    assert run_rejected(capsys, *overrides) == f"{line}\n"
    assert list(tmp_path.iterdir()) == []


def test_unexpected_error_ends_the_program_with_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cnn_experiments_callbacks, "preflight", fail)
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(compose_command())
    assert system_exit.value.code == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_error_of_the_operating_system_ends_the_program_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "conf/config.yaml")

    monkeypatch.setattr(cnn_experiments_callbacks, "preflight", fail)
    with pytest.raises(SystemExit) as system_exit:
        RunDirectoryCallback().on_run_start(compose_command())
    assert system_exit.value.code == 1
    line, end = capsys.readouterr().err.split("\n")
    assert line.startswith("Input/output error: conf/config.yaml")
    assert end == ""


@pytest.mark.usefixtures("without_check")
def test_own_checkpoint_is_neither_overwritten_nor_put_aside(capsys: pytest.CaptureFixture[str]) -> None:
    write_results(Path("mine"), "failed", "seed=1")
    Path("mine/checkpoints").mkdir()
    for name in ("last.ckpt", "best.ckpt"):
        Path("mine/checkpoints", name).touch()
    command = ("hydra.run.dir=mine", "seed=1")
    best = "mine/checkpoints/best.ckpt"
    problem = "this run would overwrite it; without ckpt_path it continues from its last.ckpt"
    assert run_rejected(capsys, *command, f"ckpt_path={best}") == f"ckpt_path={best}: {problem}\n"
    problem = "can't be combined with restart=true, which puts this checkpoint aside"
    assert run_rejected(capsys, *command, "ckpt_path=mine", "restart=true") == f"ckpt_path=mine: {problem}\n"
    RunDirectoryCallback().on_run_start(compose_command(*command, "ckpt_path=mine"))
    lock.release(Path("mine"))


@pytest.mark.parametrize("source", [("ckpt_path=gone",), ("init=checkpoint", "init.path=gone")])
@pytest.mark.parametrize(
    ("status", "checkpoint", "overrides", "num_requeues", "continues_by_itself"),
    [
        ("interrupted", "last.ckpt", (), 0, True),
        ("interrupted", "other.ckpt", (), 0, False),
        ("interrupted", "last.ckpt", ("restart=true",), 0, False),
        ("interrupted", "last.ckpt", ("restart=true",), 1, True),
        ("completed", "last.ckpt", (), 0, True),
    ],
)
def test_check_knows_whether_a_run_continues_by_itself(
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    checkpoint: str,
    overrides: tuple[str, ...],
    num_requeues: int,
    continues_by_itself: bool,
    source: tuple[str, ...],
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(num_requeues))
    write_results(Path("mine"), status, "seed=1", *source)
    Path("mine/checkpoints").mkdir()
    Path("mine/checkpoints", checkpoint).touch()
    checked: list[bool] = []
    monkeypatch.setattr(tasks, "resolve_name", lambda _: lambda _settings, continues: checked.append(continues))
    with suppress(SystemExit):  # of a completed run
        RunDirectoryCallback().on_run_start(compose_command("hydra.run.dir=mine", "seed=1", *source, *overrides))
    lock.release(Path("mine"))
    assert checked == [continues_by_itself]


@pytest.mark.usefixtures("without_check")
def test_checkpoint_of_a_requeued_run_is_not_put_aside(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(Path("mine"), "interrupted", "seed=1")
    Path("mine/checkpoints").mkdir()
    Path("mine/checkpoints/last.ckpt").touch()
    command = ("hydra.run.dir=mine", "seed=1", "restart=true", "ckpt_path=mine")
    assert "can't be combined with restart=true" in run_rejected(capsys, *command)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    RunDirectoryCallback().on_run_start(compose_command(*command))
    lock.release(Path("mine"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("model=nin", "data.resize=67", "hydra.run.dir=outputs/mine"), "nin on digits: outputs/mine"),
        (("task=inspect",), "inspect: lenet on digits"),
        (("task=evaluate", "ckpt_path=outputs/mine"), "evaluate: outputs/mine"),
        (("task=evaluate",), None),
        (("hydra.run.dir=planned",), None),
    ],
)
@pytest.mark.usefixtures("without_check")
def test_run_of_no_sweep_is_announced_before_it_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, overrides: tuple[str, ...], line: str | None
) -> None:
    (tmp_path / "planned").mkdir()
    (tmp_path / "planned" / ".plan.json").write_text("{}")
    calls: list[str] = []
    monkeypatch.setattr(cnn_experiments_callbacks, "announce", calls.append)
    monkeypatch.setattr(cnn_experiments_callbacks, "preflight", lambda *_, **__: calls.append("check"))
    RunDirectoryCallback().on_run_start(compose_command("data=digits", *overrides))
    assert calls == [*([line] if line else []), "check"]
