"""Tests of the command line, with each command in its own process."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cnn_experiments.data.fashion_mnist import FashionMNIST
from tests.commands import spawn, wait_while_running
from tests.conftest import read_epochs, read_results, runs_in
from tests.own_images import write_split_folder

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SMOKE = ("data=digits", "trainer=smoke", "trainer.accelerator=cpu")

# Runs the program, and prints its exit status and whether it imported torch.
PROGRAM = """
import sys
from cnn_experiments.__main__ import main
try:
    main()
except SystemExit as system_exit:
    print("status", system_exit.code, "torch" in sys.modules)
"""


def run_without_torch(cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command that must not import torch, and return its exit status, output and errors."""
    completed = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True, check=True
    )
    output, _, last_line = completed.stdout.rpartition("status ")
    status, torch_imported = last_line.split()
    assert torch_imported == "False"
    return int(status if status != "None" else 0), output, completed.stderr


TOP_LEVEL = (
    r"top-level keys: augment, callbacks, ckpt_path, compile, data, dry_run, experiment, init, logger, loss, memory_format, "
    r"metrics, model, monitor, monitor_mode, note, on_error, on_invalid, optimizer, restart, retry_failed, scheduler, seed, "
    r"sweep, tags, task, trainer"
)
SKIP = r"on_invalid=skip skips invalid combinations"

REJECTED = [
    (["optimzer.lr=0.1"], rf"optimzer\.lr=0\.1: unknown key; {TOP_LEVEL}; did you mean optimizer\.lr\?"),
    (["+modle.lr=1"], r"modle\.lr=1: unknown key; top-level keys: .*, model, .*; did you mean model\?"),
    (["+optimizer.lrr=1"], r"optimizer\.lrr=1: unknown key; keys of optimizer: betas, decay_norm_and_bias, lr, weight_decay; did you mean optimizer\.lr\?"),
    (["++optimizer.lrr=1"], r"optimizer\.lrr=1: unknown key; keys of optimizer: betas, decay_norm_and_bias, lr, weight_decay; did you mean optimizer\.lr\?"),
    (["optimizer=sgd", "optimizer.momentun=0.9"], r"optimizer\.momentun=0\.9: unknown key; keys of optimizer: decay_norm_and_bias, lr, momentum, nesterov, weight_decay; did you mean optimizer\.momentum\?"),
    (["batch_size=3"], rf"batch_size=3: unknown key; {TOP_LEVEL}; did you mean data\.batch_size\?"),
    (["hydra.run.dri=x"], r"hydra\.run\.dri=x: can't be changed; of Hydra's settings, these can: .*; did you mean hydra\.run\.dir\?"),
    (["modle=lenet"], rf"modle=lenet: unknown key; {TOP_LEVEL}; did you mean model\?"),
    (["model=lenett"], r"model=lenett: unknown option; allowed: alexnet, .*, vgg19; did you mean lenet\?"),
    (["experiment=book/adam/lent"], r"experiment=book/adam/lent: unknown option; allowed: book/adam/alexnet, .*, book/adam/vgg11_quarter, \.\.\.; did you mean book/adam/lenet\?"),
    (["-m", "experiment=book/adam/lenet,lenet_bn"], rf"experiment=lenet_bn: unknown option; allowed: .*; did you mean .*/lenet_bn\? \(in experiment=lenet_bn\); {SKIP}"),
    (["experiment=book/sgd/lenet", "model=alexnet"], r"model=alexnet: can't be combined with experiment=book/sgd/lenet, which sets model\.padding=2 model\.pool=avg for its own model"),
    (["experiment=book/sgd/lenet", "optimizer=adam"], r"optimizer=adam: can't be combined with experiment=book/sgd/lenet, which sets optimizer\.lr=0\.9 for its own optimizer"),
    (["-m", "experiment=best_sgd", "optimizer=adam,adamw"], r"optimizer=adam: can't be combined with experiment=best_sgd, which sets optimizer\.\w+=.* \(in experiment=best_sgd optimizer=adam\); 1 more combination is invalid"),
    (["--experiment", "best/lenet"], r"--experiment: unknown flag; overrides have no dashes: experiment=OPTION"),
    (["--optimizer.lr=0.1"], r"--optimizer\.lr: unknown flag; overrides have no dashes: optimizer\.lr=0\.1"),
    (["-x"], r"-x: unknown flag"),
    (["-m", "--cfg=job"], r"--multirun --cfg: can't be combined"),
    (["experimnt=best/lenet"], rf"experimnt=best/lenet: unknown key; {TOP_LEVEL}; did you mean experiment\?"),
    (["hydra/launcher=basc"], r"hydra/launcher=basc: unknown option; allowed: basic, .*, local, slurm.*; did you mean basic\?"),
    (["experiment=book/adam/lenet", "model.pol=avg"], r"model\.pol=avg: unknown key; keys of model: activation, channels, hidden_units, in_channels, kernel_size, norm, norm_layers, norm_position, num_classes, padding, pool; did you mean model\.pool\?"),
    (["optimizer.lr=fast"], r"optimizer\.lr=fast: must be a number > 0"),
    (["optimizer.lr=0"], r"optimizer\.lr=0: must be a number > 0"),
    (["optimizer.lr=nan"], r"optimizer\.lr=nan: must be a number > 0"),
    (["data.batch_size=-1"], r"data\.batch_size=-1: must be an integer >= 1"),
    (["data.batch_size=true"], r"data\.batch_size=true: must be an integer >= 1"),
    (["model=densenet", "model.bottleneck=3"], r"model\.bottleneck=3: must be true or false"),
    (["memory_format=channel_last"], r"memory_format=channel_last: must be one of auto, contiguous, channels_last; did you mean channels_last\?"),
    (["init=xavir"], r"init=xavir: unknown option; allowed: checkpoint, default, kaiming, xavier; did you mean xavier\?"),
    (["model=densenet", "model.depths=4"], r"model\.depths=4: must be a list of integers"),
    (["seed=null"], r"seed=null: must be an integer from 0 to 4294967295"),
    (["trainer.limit_train_batches=1.5"], r"trainer\.limit_train_batches=1\.5: must be an integer >= 1 or a float in \(0, 1\] or null"),
    (["data.classes=7"], r"data\.classes=7: must be 10, which is fixed by the data set"),
    (["~optimizer.lr"], r"~optimizer\.lr: keys can't be deleted; the default is optimizer\.lr=0\.001"),
    (["+optimizer.lr=0.9"], r"\+optimizer\.lr=0\.9: key already exists; remove the \+"),
    (["seed=3", "model=null"], r"model=null: unknown option; allowed: alexnet, .*, vgg19"),
    (["+model=densenet"], r"\+model=densenet: an option of this group is already chosen; remove the \+"),
    (["model=lenet,densenet"], r"model=lenet,densenet: several values make a sweep, which needs -m"),
    (["-m", "seed=1,2", "optimizer.lr=0.1,fast"], rf"optimizer\.lr=fast: must be a number > 0 \(in seed=1 optimizer\.lr=fast\); 1 more combination is invalid; {SKIP}"),
    (["-m", "model=lenet,densenett"], rf"model=densenett: unknown option; allowed: .*; did you mean densenet\? \(in model=densenett\); {SKIP}"),
    (["-m", "model=null,lenet"], rf"model=null: unknown option; allowed: alexnet, .*, vgg19 \(in model=null\); {SKIP}"),
    (["-m", "model=lenet,resnet18", "model.norm=batch"], rf"model\.norm=batch: unknown key; keys of model: bottleneck, .*, version \(in model=resnet18 model\.norm=batch\); {SKIP}"),
    (["-m", "model=resnet18,lenet", "model.norm=batch"], rf"model\.norm=batch: unknown key; keys of model: bottleneck, .*, version \(in model=resnet18 model\.norm=batch\); {SKIP}"),
    (["seed=0", "-m", "optimizer.lr=0.1,fast"], rf"optimizer\.lr=fast: must be a number > 0 \(in seed=0 optimizer\.lr=fast\); {SKIP}"),
    (["a b"], r"a b: must be KEY=VALUE"),
    (["--config-dir=nowhere"], r"--config-dir=nowhere: must be a directory"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "line"), REJECTED, ids=[" ".join(arguments) for arguments, _ in REJECTED])
def test_bad_input_is_rejected_in_one_line_before_torch_is_imported(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    status, output, errors = run_without_torch(tmp_path, *arguments)
    assert status == 2
    assert output == ""
    assert re.fullmatch(line + "\n", errors), errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_configuration_are_printed_before_torch_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    status, output, _ = run_without_torch(tmp_path, *arguments)
    assert status == 0
    assert "batch_size: 256" in output
    assert list(tmp_path.iterdir()) == []


def test_recipe_without_its_first_line_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "fast.yaml").write_text("optimizer:\n  lr: 0.5\n")
    status, output, errors = run_without_torch(tmp_path, "--config-dir", "mine", "experiment=fast")
    assert (status, output) == (2, "")
    assert errors == "experiment=fast: must begin with the line # @package _global_\n"


def test_error_names_the_recipe_that_set_the_value(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "fast.yaml").write_text("# @package _global_\noptimizer:\n  lr: fast\n")
    status, output, errors = run_without_torch(tmp_path, "--config-dir", "mine", "experiment=fast")
    assert (status, output) == (2, "")
    assert errors == "optimizer.lr=fast: must be a number > 0 (set by experiment=fast)\n"
    status, _, errors = run_without_torch(tmp_path, "--config-dir", "mine", "experiment=fast", "optimizer.lr=slow")
    assert (status, errors) == (2, "optimizer.lr=slow: must be a number > 0\n")


def test_images_that_are_too_small_for_the_network_are_rejected_before_anything_is_written(
    command: Command, tmp_path: Path
) -> None:
    rejected = command("-m", "model=densenet,lenet", "data.resize=28,15")
    assert rejected.returncode == 2
    assert rejected.stdout == ""
    assert rejected.stderr == (
        "data.resize=15: this network needs images of at least 16 pixels, these have 15; "
        f"did you mean data.resize=16? (in model=lenet data.resize=15); {SKIP}\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_run_prints_its_progress_and_writes_its_directory(cold_command: Command, tmp_path: Path) -> None:
    completed = cold_command(*SMOKE, "trainer.max_epochs=2")
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    printed_lines = completed.stdout.splitlines()
    assert re.fullmatch(
        r"lenet on digits, cpu \(.*\), \d threads?, (contiguous|channels_last), seed 0", printed_lines[0]
    )
    for epoch, line in enumerate(printed_lines[1:3], start=1):
        assert re.fullmatch(
            rf"epoch {epoch}/2  train/loss \S+  train/acc \S+  val/loss \S+  val/acc \S+  val/f1 \S+  [\d,]+ images/s  \d:\d\d:\d\d left",
            line,
        )
    assert re.fullmatch(r"tested epoch [12] of 2: test/acc .*", printed_lines[3])
    directory = tmp_path / printed_lines[4].removeprefix("directory: ")
    assert re.fullmatch(r"curves: \S*tensorboard --logdir outputs", printed_lines[5])
    results = read_results(directory)
    assert results["status"] == "completed"
    assert results["overrides"] == [*SMOKE, "trainer.max_epochs=2"]
    assert results["options"] == {
        "model": "lenet",
        "data": "digits",
        "augment": "none",
        "loss": "cross_entropy",
        "optimizer": "adam",
        "init": "default",
        "scheduler": "constant",
        "metrics": "none",
        "callbacks": "none",
        "logger": "tensorboard",
        "trainer": "smoke",
    }
    log_lines = (directory / "run.log").read_text().splitlines()
    assert [
        line.partition("] ")[2].partition("] ")[2] or line.partition("[INFO] ")[2] for line in log_lines
    ] == printed_lines


def test_sweep_continues_after_a_failed_run(command: Command, tmp_path: Path) -> None:
    completed = command(
        "-m",
        *SMOKE,
        "trainer.limit_train_batches=5",
        "optimizer=sgd",
        "optimizer.weight_decay=1e6",
        "optimizer.lr=1e6,1e-6",
        "hydra.sweep.dir=sweep",
    )
    assert completed.returncode == 1, completed.stderr
    assert {path.name[:-9]: read_results(path)["status"] for path in runs_in(tmp_path / "sweep")} == {
        "lenet-lr1000000.0": "failed",
        "lenet-lr1e-06": "completed",
    }
    assert "failed: the loss became NaN or infinite at step 5 (epoch 1)" in completed.stdout


def test_only_one_of_two_processes_gets_the_directory(tmp_path: Path) -> None:
    processes = [spawn(tmp_path, *SMOKE, "hydra.run.dir=runs/same") for _ in range(2)]
    outputs = [(*process.communicate(), process.returncode) for process in processes]
    num_trained = sum("tested epoch" in stdout for stdout, _, _ in outputs)
    assert num_trained == 1
    # The other process may have come while the first one trained, or after it.
    rejected = ("", "hydra.run.dir=runs/same: locked by another process\n", 2)
    skipped = ("already completed: runs/same\n", "", 0)
    assert [output for output in outputs if output in (rejected, skipped)]
    assert read_results(tmp_path / "runs" / "same")["status"] == "completed"


def test_sweep_of_runs_that_train_in_two_processes(command: Command, tmp_path: Path) -> None:
    completed = command("-m", *SMOKE, "trainer=ddp", "trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=sweep")
    assert completed.returncode == 0, completed.stderr
    assert [read_results(path)["status"] for path in runs_in(tmp_path / "sweep")] == ["completed"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_two_processes_share_each_epoch_and_one_directory(command: Command, tmp_path: Path) -> None:
    completed = command(
        "data=digits",
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "trainer.max_epochs=2",
        "model=lenet_bn",
        "optimizer.lr=0.01",
    )
    assert completed.returncode == 0, completed.stderr
    (directory,) = tmp_path.glob("outputs/*/*")
    results = read_results(directory)
    assert results["status"] == "completed"
    # 1257 training and 180 validation images in all, and no image twice: otherwise these products would not be integers.
    for row in read_epochs(directory):
        assert round(float(row["train/acc"]) * 1257, 3).is_integer()
        assert round(float(row["val/acc"]) * 180, 3).is_integer()
        assert int(row["step"]) == 40 * int(row["epoch"])  # 1257 / (2 * 16), the last batch is smaller
    assert len(list(directory.glob("checkpoints/*"))) == 2
    assert "Warning" not in completed.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signal_ends_a_run_after_its_results_are_written(tmp_path: Path, number: signal.Signals, status: int) -> None:
    process = spawn(tmp_path, "data=digits", "trainer.max_epochs=1000", "hydra.run.dir=run")
    wait_while_running(process.poll, until=(tmp_path / "run" / "checkpoints" / "last.ckpt").exists)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == status
    results = read_results(tmp_path / "run")
    assert (results["status"], results["signal"], results["error"]) == ("interrupted", number.name, None)
    assert output.splitlines()[-1] == f"interrupted by {number.name}; to resume, run the same command again"


@pytest.mark.parametrize("module", ["cnn_experiments", "cnn_experiments.report"])
def test_ctrl_c_during_the_imports_prints_nothing(tmp_path: Path, module: str) -> None:
    (tmp_path / "rich.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    ended = subprocess.run(
        [sys.executable, "-m", module], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_run_resumes_from_the_checkpoint_of_another_run(command: Command, tmp_path: Path) -> None:
    assert command(*SMOKE, "hydra.run.dir=first").returncode == 0
    completed = command(*SMOKE, "hydra.run.dir=second", "ckpt_path=first", "trainer.max_epochs=3")
    assert completed.returncode == 0, completed.stderr
    assert [row["epoch"] for row in read_epochs(tmp_path / "second")] == ["1", "2", "3"]
    rejected = command(*SMOKE, "ckpt_path=first", "trainer.max_epochs=3", "seed=1")
    assert rejected.returncode == 2
    assert rejected.stderr == "seed=1: must be 0, as in the run that ckpt_path continues\n"


def test_paths_stay_relative_to_the_directory_of_the_command(command: Command, tmp_path: Path) -> None:
    assert command(*SMOKE, "hydra.run.dir=first").returncode == 0
    overrides = ("ckpt_path=first", "trainer.max_epochs=2", "hydra.run.dir=second", "hydra.job.chdir=true")
    completed = command(*SMOKE, *overrides)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert [row["epoch"] for row in read_epochs(tmp_path / "second")] == ["1", "2"]


def test_home_directory_in_a_path_is_that_of_the_user(command: Command, tmp_path: Path) -> None:
    write_split_folder(tmp_path / "images")
    overrides = ("data.root='~/images'", "data.cache='~/cache'", "data.batch_size=8", "data.resize=28")
    completed = command(*SMOKE[1:], "data=folder", *overrides, HOME=str(tmp_path))
    assert (completed.returncode, completed.stderr) == (0, "")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


NETWORK = """
import os, sys
from torch import nn

class Network(nn.Sequential):
    def __init__(self, fault):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.fault = fault
        if fault == "chdir":
            os.chdir(f"{os.path.dirname(__file__)}/other")
        if fault == "close":
            sys.stdout.close()
            sys.stderr.close()

    def forward(self, x):
        if self.fault == "chdir":
            os.chdir("/")
        if self.fault == "interrupt":
            raise KeyboardInterrupt
        return super().forward(x)
"""


@pytest.fixture
def user_network(tmp_path: Path) -> tuple[str, ...]:
    """Write a network of a user, and return the overrides that choose it."""
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "other").mkdir()
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "network.yaml").write_text("_target_: network.Network\nfault: none\n")
    return ("--config-dir", "conf", "model=network")


@pytest.mark.parametrize("fault", ["chdir", "close"])
def test_network_that_changes_the_process_is_trained(
    command: Command, tmp_path: Path, user_network: tuple[str, ...], fault: str
) -> None:
    network = (*user_network, f"model.fault={fault}", *SMOKE)
    assert command(*network, "hydra.run.dir=first").returncode == 0
    completed = command(*network, "ckpt_path=first", "trainer.max_epochs=2", "hydra.run.dir=run")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines()[-2] == "directory: run"
    results = read_results(tmp_path / "run")
    assert (results["status"], results["epochs"]) == ("completed", 2)


def test_interrupt_that_a_network_raises_ends_the_command_in_one_line(
    command: Command, tmp_path: Path, user_network: tuple[str, ...]
) -> None:
    completed = command(*user_network, "model.fault=interrupt", *SMOKE, "hydra.run.dir=run")
    assert (completed.returncode, completed.stdout) == (130, "")
    assert re.fullmatch(r"KeyboardInterrupt: \(network\.py:\d+\)\n", completed.stderr)
    assert not (tmp_path / "run").exists()


def test_root_of_a_users_data_module_need_not_be_a_path(command: Command, tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(
        "from cnn_experiments.data.digits import Digits\n\n"
        "class Shapes(Digits):\n"
        "    def __init__(self, root, **settings):\n"
        "        super().__init__(**settings)\n"
        "        assert list(root) == ['a', 'b']\n"
    )
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "shapes.yaml").write_text(
        "defaults: [digits]\n_target_: shapes.Shapes\nroot: [a, b]\n"
    )
    completed = command("--config-dir", "conf", "data=shapes", *SMOKE[1:], "hydra.run.dir=run")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert read_results(tmp_path / "run")["status"] == "completed"


class RefusingProxy:
    """A proxy that refuses every connection, as if there were no network, and records their hosts."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                proxy.hosts.append(self.path)
                self.send_error(503)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def proxy() -> Iterator[RefusingProxy]:
    server = RefusingProxy()
    yield server
    server.close()


def test_failed_download_asks_each_mirror_once_and_is_reported(
    command: Command, tmp_path: Path, proxy: RefusingProxy
) -> None:
    completed = command("trainer=smoke", https_proxy=proxy.url, no_proxy="", CNN_EXPERIMENTS_DATA="images")
    assert proxy.hosts
    assert Counter(proxy.hosts) <= Counter(f"{urlsplit(mirror).netloc}:443" for mirror in FashionMNIST.mirrors)
    assert completed.returncode == 1
    last_line = completed.stdout.splitlines()[-1]
    assert last_line.startswith(
        "failed: could not download Fashion-MNIST: no mirror delivered it. Put train-images-idx3-ubyte.gz, "
    )
    assert last_line.endswith("python -m cnn_experiments data=digits")
    assert "Traceback" not in completed.stdout + completed.stderr
    assert not (tmp_path / "images").exists()


def test_run_on_the_real_fashion_mnist(command: Command, tmp_path: Path, fashion_mnist_root: Path) -> None:
    completed = command(
        "model=densenet",
        "data.resize=96",
        "trainer=smoke",
        "trainer.accelerator=cpu",
        "data.batch_size=32",
        "hydra.run.dir=run",
        CNN_EXPERIMENTS_DATA=str(fashion_mnist_root),
    )
    assert completed.returncode == 0, completed.stderr
    results: dict[str, Any] = read_results(tmp_path / "run")
    assert (results["model"], results["data"]) == ("densenet", "fashion_mnist")
    assert (results["parameters"], results["multiply_adds"]) == (758_226, 129_077_168)
    assert "test/acc/Ankle boot" in results["metrics"]


@pytest.mark.parametrize(
    "arguments", [SMOKE, (*SMOKE, "task=find_lr", "task.num_steps=100"), ("-m", *SMOKE, "seed=0,1")], ids=" ".join
)
def test_nothing_is_printed_about_fonts(cold_command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Let matplotlib find that no fonts are listed yet, as on a new machine."""
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    completed = cold_command(*arguments, MPLCONFIGDIR=str(fonts))
    assert completed.returncode == 0, completed.stderr
    assert list(fonts.glob("fontlist*.json"))
    assert "font" not in (completed.stdout + completed.stderr).replace(str(fonts), "")


def test_inspect_prints_tables_and_writes_nothing(command: Command, cold_command: Command, tmp_path: Path) -> None:
    comparison = command("task=inspect", "-m", "model=lenet,lenet_bn", "data.resize=28,32", "model.pool=avg")
    assert (comparison.returncode, comparison.stderr) == (0, "")
    assert re.findall(r"│ (\S+ \S+) +│ (\S+) +│ +(\S+) │", comparison.stdout) == [
        ("lenet data.resize=28", "1x28x28", "44,426"),
        ("lenet data.resize=32", "1x32x32", "44,426"),
        ("lenet_bn data.resize=28", "1x28x28", "44,878"),
        ("lenet_bn data.resize=32", "1x32x32", "44,878"),
    ]
    rejected = command("task=inspect", "model=alexnet")
    assert rejected.returncode == 2
    assert rejected.stderr == (
        "data.resize=null: this network needs images of at least 67 pixels, these have 28; did you mean data.resize=67?\n"
    )
    two_tasks = command("-m", "task=inspect,train")
    assert (two_tasks.returncode, two_tasks.stdout) == (2, "")
    assert two_tasks.stderr == "task=inspect,train: must be one task in a sweep\n"
    # Lightning reads the variable when it is imported; a task of srun that is no part of a run is like any other.
    task_of_srun = cold_command("task=inspect", SLURM_PROCID="1")
    assert (task_of_srun.returncode, task_of_srun.stderr) == (0, "")
    assert "lenet, one image of 1x28x28" in task_of_srun.stdout
    assert list(tmp_path.iterdir()) == []


def test_installed_script_is_the_same_program(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("cnn-experiments")
    completed = subprocess.run(
        [script, "model=lenett"], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 2
    assert completed.stderr.startswith("model=lenett: unknown option")
