"""The command as a user types it, in processes of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import epochs_of, results_of, runs_in

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SMOKE = ("data=digits", "trainer=smoke", "trainer.accelerator=cpu")

# Runs the program and tells what it imported.
LIGHT = """
import sys
from cnn_experiments.__main__ import main
try:
    main()
except SystemExit as end:
    print("status", end.code, "torch" in sys.modules)
"""


def lightly(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of a command that must answer without importing torch."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments], cwd=cwd, capture_output=True, text=True, check=True
    )
    output, _, end = done.stdout.rpartition("status ")
    status, torch_imported = end.split()
    assert torch_imported == "False"
    return int(status if status != "None" else 0), output, done.stderr


REFUSALS = [
    (["optimzer.lr=0.1"], r"optimzer\.lr=0\.1: there is no such setting; allowed at the top: .*optimizer, .*; the nearest is optimizer\.lr"),
    (["+modle.lr=1"], r"modle\.lr=1: there is no such setting; .*; the nearest is model"),
    (["+optimizer.lrr=1"], r"optimizer\.lrr=1: there is no such setting; allowed in optimizer: betas, lr, weight_decay; the nearest is optimizer\.lr"),
    (["++optimizer.lrr=1"], r"optimizer\.lrr=1: there is no such setting; .*; the nearest is optimizer\.lr"),
    (["optimizer=sgd", "optimizer.momentun=0.9"], r"optimizer\.momentun=0\.9: .*; allowed in optimizer: lr, momentum, .*; the nearest is optimizer\.momentum"),
    (["batch_size=3"], r"batch_size=3: .*; the nearest is data\.batch_size"),
    (["hydra.run.dri=x"], r"hydra\.run\.dri=x: .*; the nearest is hydra\.run\.dir"),
    (["modle=lenet"], r"modle=lenet: .*; the nearest is model"),
    (["model=lenett"], r"model=lenett: there is no such option; allowed: alexnet, .*, vgg19; the nearest is lenet"),
    (["experiment=book/adam/lent"], r"experiment=book/adam/lent: there is no such option; allowed: book/adam/alexnet, .*, book/adam/vgg11_quarter, \.\.\.; the nearest is book/adam/lenet"),
    (["-m", "experiment=book/adam/lenet,lenet_bn"], r"experiment=lenet_bn: there is no such option; .*; the nearest is .*/lenet_bn \(in experiment=lenet_bn\); on_impossible=drop leaves that out"),
    (["experiment=book/sgd/lenet", "model=alexnet"], r"model=alexnet: must be left out beside experiment=book/sgd/lenet, which sets model\.padding=2 model\.pool=avg for its own model"),
    (["experiment=book/sgd/lenet", "optimizer=adam"], r"optimizer=adam: must be left out beside experiment=book/sgd/lenet, which sets optimizer\.lr=0\.9 for its own optimizer"),
    (["-m", "experiment=best_sgd", "optimizer=adam,adamw"], r"optimizer=adam: must be left out beside experiment=best_sgd, which sets optimizer\.\w+=.* \(in experiment=best_sgd optimizer=adam\); 1 more can't work"),
    (["--experiment", "best/lenet"], r"--experiment: there is no such flag; the nearest is --experimental-rerun"),
    (["--optimizer.lr=0.1"], r"--optimizer\.lr: there is no such flag; a setting has no dashes: optimizer\.lr=0\.1"),
    (["experimnt=best/lenet"], r"experimnt=best/lenet: there is no such setting; allowed at the top: .*, experiment, .*; the nearest is experiment"),
    (["hydra/launcher=basc"], r"hydra/launcher=basc: there is no such option; allowed: basic, .*, local, slurm.*; the nearest is basic"),
    (["experiment=book/adam/lenet", "model.pol=avg"], r"model\.pol=avg: there is no such setting; allowed in model: .*; the nearest is model\.pool"),
    (["optimizer.lr=fast"], r"optimizer\.lr=fast: must be a number above 0"),
    (["optimizer.lr=0"], r"optimizer\.lr=0: must be a number above 0"),
    (["optimizer.lr=nan"], r"optimizer\.lr=nan: must be a number above 0"),
    (["data.batch_size=-1"], r"data\.batch_size=-1: must be a whole number of 1 or more"),
    (["data.batch_size=true"], r"data\.batch_size=true: must be a whole number of 1 or more"),
    (["model=densenet", "model.bottleneck=3"], r"model\.bottleneck=3: must be true or false"),
    (["memory_format=channel_last"], r"memory_format=channel_last: must be one of contiguous, channels_last; the nearest is channels_last"),
    (["init=xavir"], r"init=xavir: there is no such option; allowed: default, kaiming, xavier; the nearest is xavier"),
    (["model=densenet", "model.depths=4"], r"model\.depths=4: must be a list of whole numbers"),
    (["seed=null"], r"seed=null: must be a whole number from 0 to 4294967295"),
    (["trainer.limit_train_batches=1.5"], r"trainer\.limit_train_batches=1\.5: must be a whole number of 1 or more or a share above 0\.0 and up to 1\.0 or null"),
    (["data.classes=7"], r"data\.classes=7: must be 10, a fact of the chosen option and no setting"),
    (["~optimizer.lr"], r"~optimizer\.lr: a setting can't be taken away; the default is optimizer\.lr=0\.001"),
    (["+optimizer.lr=0.9"], r"\+optimizer\.lr: the setting is there already; leave the \+ out"),
    (["seed=3", "model=null"], r"model=null: must name an option of that group"),
    (["+model=densenet"], r"\+model: an option of model is chosen already; choose another without the \+"),
    (["model=lenet,densenet"], r"model=lenet,densenet: several values make a sweep, which needs -m"),
    (["-m", "seed=1,2", "optimizer.lr=0.1,fast"], r"optimizer\.lr=fast: must be a number above 0 \(in seed=1 optimizer\.lr=fast\); 1 more can't work; on_impossible=drop leaves that out"),
    (["-m", "model=lenet,densenett"], r"model=densenett: there is no such option; .*; the nearest is densenet \(in model=densenett\); on_impossible=drop leaves that out"),
    (["-m", "model=lenet,resnet18", "model.norm=batch"], r"model\.norm=batch: there is no such setting; allowed in model: bottleneck, .*, version; .* \(in model=resnet18 model\.norm=batch\); on_impossible=drop leaves that out"),
    (["seed=0", "-m", "optimizer.lr=0.1,fast"], r"optimizer\.lr=fast: must be a number above 0 \(in seed=0 optimizer\.lr=fast\); on_impossible=drop leaves that out"),
    (["a b"], r"a b: can't be read as KEY=VALUE .*"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "line"), REFUSALS, ids=[" ".join(arguments) for arguments, _ in REFUSALS])
def test_bad_input_is_refused_at_once(tmp_path: Path, arguments: list[str], line: str) -> None:
    status, output, errors = lightly(tmp_path, *arguments)
    assert status == 2
    assert output == ""
    assert re.fullmatch(line + "\n", errors), errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_configuration_answer_at_once(tmp_path: Path, arguments: list[str]) -> None:
    status, output, _ = lightly(tmp_path, *arguments)
    assert status == 0
    assert "batch_size: 256" in output
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_in_a_wrong_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "fast.yaml").write_text("optimizer:\n  lr: 0.5\n")
    status, output, errors = lightly(tmp_path, "--config-dir", "mine", "experiment=fast")
    assert (status, output) == (2, "")
    assert errors == "experiment=fast: must begin with the line # @package _global_\n"


def test_a_refusal_names_the_recipe_that_set_the_value(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "fast.yaml").write_text("# @package _global_\noptimizer:\n  lr: fast\n")
    status, output, errors = lightly(tmp_path, "--config-dir", "mine", "experiment=fast")
    assert (status, output) == (2, "")
    assert errors == "optimizer.lr=fast: must be a number above 0 (set by experiment=fast)\n"
    status, _, errors = lightly(tmp_path, "--config-dir", "mine", "experiment=fast", "optimizer.lr=slow")
    assert (status, errors) == (2, "optimizer.lr=slow: must be a number above 0\n")


def test_impossible_settings_leave_nothing_behind(command: Command, tmp_path: Path) -> None:
    refused = command("-m", "model=densenet,lenet", "data.resize=28,15")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == (
        "data.resize=15: this network takes images of 16 pixels or more, these have 15; "
        "the nearest is data.resize=16 (in model=lenet data.resize=15); on_impossible=drop leaves that out\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_run_says_how_it_goes_and_leaves_its_folder(command: Command, tmp_path: Path) -> None:
    done = command(*SMOKE, "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert re.fullmatch(r"lenet on digits, cpu \(.*\), seed 0", said[0])
    for epoch, line in enumerate(said[1:3], start=1):
        assert re.fullmatch(
            rf"epoch {epoch}/2  train/loss \S+  train/acc \S+  val/loss \S+  val/acc \S+  val/f1 \S+  [\d,]+ images/s  \d:\d\d:\d\d left",
            line,
        )
    assert re.fullmatch(r"tested epoch [12] of 2: test/acc .*", said[3])
    folder = tmp_path / said[4].removeprefix("folder: ")
    assert re.fullmatch(r"curves: \S*tensorboard --logdir outputs", said[5])
    results = results_of(folder)
    assert results["status"] == "completed"
    assert results["overrides"] == [*SMOKE, "trainer.max_epochs=2"]
    assert results["options"] == {
        "model": "lenet",
        "data": "digits",
        "optimizer": "adam",
        "init": "default",
        "scheduler": "constant",
        "trainer": "smoke",
        "task": "train",
    }
    logged = (folder / "run.log").read_text().splitlines()
    assert [line.partition("] ")[2].partition("] ")[2] or line.partition("[INFO] ")[2] for line in logged] == said


def test_a_sweep_goes_on_behind_a_run_that_fails(command: Command, tmp_path: Path) -> None:
    done = command(
        "-m",
        *SMOKE,
        "trainer.limit_train_batches=5",
        "optimizer=sgd",
        "optimizer.lr=1e38,0.1",
        "hydra.sweep.dir=sweep",
    )
    assert done.returncode == 1, done.stderr
    assert {folder.name[:-9]: results_of(folder)["status"] for folder in runs_in(tmp_path / "sweep")} == {
        "lenet-lr1e+38": "failed",
        "lenet-lr0.1": "completed",
    }
    assert "failed: the loss is not finite since step 2 (epoch 1)" in done.stdout


def test_of_two_processes_one_gets_the_folder(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "cnn_experiments", *SMOKE, "hydra.run.dir=runs/same"]
    both = [subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = sorted((process.communicate()[1], process.returncode) for process in both)
    assert first == ("", 0)
    at_work, complete = "another process is at work", "this same run is complete"  # as it comes
    assert re.fullmatch(
        f"hydra.run.dir=runs/same: must be a new folder; ({at_work}|{complete}) in this one\n", second[0]
    )
    assert second[1] == 2
    assert results_of(tmp_path / "runs" / "same")["status"] == "completed"


def test_sweep_of_runs_in_two_processes(command: Command, tmp_path: Path) -> None:
    done = command("-m", *SMOKE, "trainer=ddp", "trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert [results_of(folder)["status"] for folder in runs_in(tmp_path / "sweep")] == ["completed"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_two_processes_share_an_epoch_and_one_folder(command: Command, tmp_path: Path) -> None:
    done = command(
        "data=digits",
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
        "model=lenet_bn",
        "optimizer.lr=0.01",
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("outputs/*/*")
    results = results_of(folder)
    assert results["status"] == "completed"
    # 1257 training and 180 validation images in the whole, and no image twice: else these would not come out even.
    for row in epochs_of(folder):
        assert round(float(row["train/acc"]) * 1257, 3).is_integer()
        assert round(float(row["val/acc"]) * 180, 3).is_integer()
        assert int(row["step"]) == 40 * int(row["epoch"])  # 1257 / (2 * 16), the last batch a part
    assert len(list(folder.glob("checkpoints/*"))) == 2
    assert "Warning" not in done.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_order(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cnn_experiments",
            "data=digits",
            "trainer.max_epochs=1000",
            "hydra.run.dir=run",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status
    results = results_of(tmp_path / "run")
    assert (results["status"], results["error"]) == ("interrupted", number.name)
    assert output.splitlines()[-1] == f"interrupted by {number.name}; to go on: the same command"


def test_a_run_goes_on_from_another(command: Command, tmp_path: Path) -> None:
    assert command(*SMOKE, "hydra.run.dir=first").returncode == 0
    done = command(*SMOKE, "hydra.run.dir=second", "ckpt_path=first", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in epochs_of(tmp_path / "second")] == ["1", "2", "3"]
    refused = command(*SMOKE, "ckpt_path=first", "trainer.max_epochs=3", "seed=1")
    assert refused.returncode == 2
    assert refused.stderr == "seed=1: must be 0, as in the run that ckpt_path continues\n"


def test_missing_data_is_told_within_half_a_minute(command: Command, tmp_path: Path) -> None:
    started = time.monotonic()
    # No look-up of a name gets out of this environment.
    done = command("trainer=smoke", https_proxy="http://127.0.0.1:9", CNN_EXPERIMENTS_DATA="images")
    assert time.monotonic() - started < 30
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith(
        "failed: could not download Fashion-MNIST: no mirror delivered it. Put train-images-idx3-ubyte.gz, "
    )
    assert last.endswith("python -m cnn_experiments data=digits")
    assert "Traceback" not in done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "images").rglob("*")] == [".fashion_mnist.lock"]


def test_trains_on_the_real_images(command: Command, tmp_path: Path, fashion_mnist_root: Path) -> None:
    done = command(
        "model=densenet",
        "data.resize=96",
        "trainer=smoke",
        "trainer.accelerator=cpu",
        "data.batch_size=32",
        "hydra.run.dir=run",
        CNN_EXPERIMENTS_DATA=str(fashion_mnist_root),
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = results_of(tmp_path / "run")
    assert (results["model"], results["data"]) == ("densenet", "fashion_mnist")
    assert (results["parameters"], results["multiply_adds"]) == (758_226, 129_077_168)
    assert "test/acc/Ankle boot" in results["metrics"]


def test_looking_at_networks_leaves_nothing_behind(command: Command, tmp_path: Path) -> None:
    several = command("task=inspect", "-m", "model=lenet,lenet_bn", "data.resize=28,32", "model.pool=avg")
    assert (several.returncode, several.stderr) == (0, "")
    assert re.findall(r"│ (\S+ \S+) +│ (\S+) +│ +(\S+) │", several.stdout) == [
        ("lenet data.resize=28", "1x28x28", "44,426"),
        ("lenet data.resize=32", "1x32x32", "44,426"),
        ("lenet_bn data.resize=28", "1x28x28", "44,878"),
        ("lenet_bn data.resize=32", "1x32x32", "44,878"),
    ]
    refused = command("task=inspect", "model=alexnet")
    assert refused.returncode == 2
    assert refused.stderr == (
        "data.resize=null: this network takes images of 67 pixels or more, these have 28; the nearest is data.resize=67\n"
    )
    mixed = command("-m", "task=inspect,train")
    assert (mixed.returncode, mixed.stdout) == (2, "")
    assert mixed.stderr == "task=inspect,train: must be one task, because one of these leaves no runs\n"
    further_process = command("task=inspect", SLURM_PROCID="1")
    assert (further_process.returncode, further_process.stdout, further_process.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_installed_script_is_the_same_program(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("cnn-experiments")
    done = subprocess.run(
        [script, "model=lenett"], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("model=lenett: there is no such option")
