"""Command lines of the program drawn at random: good ones, unusual ones, and ones that make no sense."""

import json
import os
import random
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

SetUp = Callable[[Path, Path], None]
"""Prepares the working directory (first argument); the second one is a run that was trained before."""


class Sense(Enum):
    """Whether a part of a command line can be accepted."""

    GOOD = "good"
    UNUSUAL = "unusual"
    """The program may accept or reject it."""
    SENSELESS = "senseless"
    """The program must reject it."""


@dataclass(frozen=True)
class Part:
    """Some words of a command line, or some variables of its environment, with what they need on disk.

    Args:
        words: the arguments.
        sense: whether the program may accept them.
        key: the setting, group or flag; a command line has one part for a key.
        environment: variables; None removes one.
        set_up: prepares the working directory.
    """

    words: tuple[str, ...]
    sense: Sense
    key: str
    environment: tuple[tuple[str, str | None], ...] = ()
    set_up: SetUp | None = None


@dataclass
class CommandLine:
    """A command line, what it needs, and whether it may be accepted."""

    words: list[str]
    environment: dict[str, str | None]
    set_ups: list[SetUp] = field(default_factory=list)
    senseless: list[str] = field(default_factory=list)
    """The parts that the program must reject."""
    trains: bool = True
    """Whether a command line that is accepted must leave completed runs."""


EVIL = (
    "nan", "-inf", "[1,2]", "{a:1}", "''", "'a b'", "é", "\x1b[31mred", "'\x1b[31mred'", "\u202e", "x" * 10_000, "${nope}", "${seed}x",
    "${", "[", "]", "{", '"', "'", "\\", "1e400", "9" * 400, "-9" * 3, "<script>", "'<img src=x>'", "'=HYPERLINK(1)'", "1 # c",
    "'a=b'", "a=b", "@", "%", "~", "\n", "'a\nb'", "\r", "\t", "$(id)", "`id`", "choice()", "glob(*)", "range(3)", "interval(0,1)",
    "shuffle(1,2)", "sort(3,1)", "extend_list(1)", "int(x)", "float([])", "${oc.env:NOPE}", "${oc.decode:1}", "${now:%Y}", "???",
    "\udcff", "'\udcff'", "\x9b1m", "\x07", "[" * 200 + "]" * 200, "{a:" * 60 + "1" + "}" * 60, "[[1],{b:[2]}]", "null,null", "a,b", ",",
    "*", "&id001", "!!python/object:os.system", "\u2028", "'\u0000x'".replace("\u0000", "\x01"), "١٢", "1e-400x", "0x", "--", "=",
)  # fmt: skip
"""Values that no setting of the table below can take."""

# Per setting: good values, values that the program must reject, and values that it may accept.
_LIMIT = (
    ("1", "2", "0.05", "null"),
    ("-1", "1.5", "nan", "all", "0.0", "true"),
    ("1e-9", "0.001", "100000000", "1.0", "0"),
)
SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "seed": (("1", "4294967295"), ("-1", "4294967296", "1.5", "null", "1e99"), ("true", "1.0", "0x10", "1_0", "int(1)")),
    "loss.label_smoothing": (("0.1", "0"), ("-0.1", "1.5", "null", "1.0"), ("1e-300", "0.999999999999")),
    "memory_format": (("channels_last",), ("channel_last", "null", "1"), ()),
    "task": (("train",), ("trian", "null", "1", "[train]", "os.system", "evaluate", "predict", "export", "explain"), ()),
    "task.to": ((), ("x", "null", "1"), ()),
    "input": ((), ("x", "null", "*.png"), ()),
    "format": ((), ("onnx", "null"), ()),
    "data.batch_size": (("7", "64"), ("0", "-1", "1.5", "null", "true"), ("1000000", "999999999999", "9" * 30, "16.0")),
    "data.val_size": (("0", "10", "1"), ("-1", "null", "5000000", "1437"), ("1427", "0.1", "1e3")),
    "data.resize": (("28", "32"), ("0", "-3", "1.5", "4000000", "100000000000", "true"), ("8", "null", "1", "20000", "15")),
    "augment": (("flip", "[crop,flip,erase]"), ("flop", "null", "1", "[flip,flip]"), ()),
    "data.normalize": (("true", "false"), ("maybe", "null", "2"), ("1", "on")),
    "data.test_every_epoch": ((), ("maybe", "null"), ("true",)),
    "data.seed": (("3",), ("-1", "x", "1.5"), ("null", "99999999999")),
    "data.classes": (("10",), ("7", "-1", "null"), ()),
    "data.channels": (("1", "3"), ("2", "0", "null"), ()),
    "data.train_size": (("null", "100"), ("0", "-1", "9", "5000000"), ("1257", "1e3")),
    "optimizer.lr": (("0.01", "1e-9"), ("0", "-1", "fast", "null", "inf", "[0.1]", "true"), ("1e30", "1e308", "1e-320")),
    "optimizer.weight_decay": (("0.1",), ("-1", "null", "big"), ("1e30", "1e308")),
    "optimizer.betas": (("[0.8,0.9]",), ("0.9", "[0.9]", "[1.5,2]", "[-1,0]", "[a,b]", "null", "[0.9,0.9,0.9]"), ()),
    "optimizer._target_": ((), ("os._exit", "os.abort", "time.sleep", "builtins.exec", "no.such.Module", "null", "subprocess.Popen"), ("torch.optim.Adagrad",)),
    "optimizer._partial_": ((), ("x", "null"), ("true", "false")),
    "model.norm": (("batch", "none"), ("bacth", "null"), ("scratch",)),
    "model.norm_layers": ((), ("[]", "[0]", "[9]", "[2,1]", "x", "1"), ("[1,2]", "[3]", "null")),
    "model.norm_position": ((), ("after", "null", "[]"), ("before_activation", "after_activation")),
    "model.pool": (("avg",), ("mean", "null"), ()),
    "model.padding": (("2",), ("-1", "x", "null", "1.5"), ("1000", "1000000000")),
    "model.num_classes": ((), ("0", "-1", "x", "null"), ("10", "11", "99999999999")),
    "model._target_": ((), ("os._exit", "os.abort", "torch.nn.Linear", "sys.exit", "null", ".", "cnn_experiments"), ("cnn_experiments.models.LeNet",)),
    "init._target_": ((), ("os._exit", "time.sleep", "builtins.print"), ()),
    "trainer.max_epochs": (("1", "2"), ("1.5", "ten", "-2", "1e99", "9" * 20, "true"), ("0", "-1", "null", "2147483647", "2147483648", "3000000")),
    "trainer.limit_train_batches": _LIMIT,
    "trainer.limit_val_batches": _LIMIT,
    "trainer.limit_test_batches": _LIMIT,
    "trainer.accumulate_grad_batches": (("2",), ("0", "-1", "1.5", "null"), ("99999999999999999999", "1000")),
    "trainer.gradient_clip_val": (("1.0", "null"), ("-1", "0", "x"), ("1e-300", "1e308")),
    "trainer.deterministic": (("true", "warn"), ("maybe", "null"), ()),
    "trainer.precision": (("32-true",), ("7", "null", "float"), ("bf16-mixed", "64-true", "16-true", "32", "16-mixed", "bf16-true", "transformer-engine")),
    "trainer.devices": (("1",), ("0", "-2", "x", "null", "1.5", "[]x"), ("[0]", "[1]", "[]", "auto", "-1", "1000000", "'1'")),
    "trainer.accelerator": (("cpu", "auto"), ("warp", "null", "1"), ("gpu", "tpu", "mps", "cuda")),
    "trainer.strategy": (("auto",), ("warp", "null", "1"), ("fsdp", "deepspeed", "ddp_spawn", "ddp_notebook")),
    "trainer.num_nodes": (("1",), ("0", "-1", "x", "null"), ("2", "100000")),
    "trainer._target_": ((), ("os._exit", "builtins.print", "null"), ()),
    "ckpt_path": (("null",), ("nowhere", "nowhere/last.ckpt", "http://127.0.0.1:1/x", "/proc/self/mem", "/dev/null", "/dev/zero", "/dev/full", "x/" * 3000, "y" * 300, "[1]", "/", "1"), ("''",)),
    "compile": (("false",), ("maybe", "null", "2"), ()),
}  # fmt: skip
"""Settings of LeNet with Adam on the digits."""

OTHER_NETWORKS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "model=densenet model.depths": (("[1,1]",), ("[0]", "[-1]", "[]x", "abc", "[a]", "null", "4", "[1.5]"), ("[]", "[99999]", "[1000000000]")),
    "model=densenet model.growth_rate": (("4",), ("0", "-1", "x", "null"), ("1000000", "99999999999")),
    "model=densenet model.stem_channels": (("4",), ("0", "-1", "x", "null"), ("99999999999",)),
    "model=resnet18 model.stem": (("3x3",), ("5x5", "null"), ()),
    "model=resnet18 model.version": (("v1", "v2"), ("v3", "null", "1"), ()),
    "model=resnet18 model.depths": (("[1,1]",), ("x", "[x]", "null", "-1"), ("[]", "[0,0,0,0]", "[1]", "[1,1,1,1,1,1,1,1]")),
    "model=nin data.resize=64 model.dropout": (("0.1",), ("-0.1", "1.5", "x", "null"), ("1.0", "1")),
    "optimizer=sgd optimizer.momentum": (("0.9",), ("1.5", "-1", "null", "x", "1"), ("0.99999999",)),
    "optimizer=sgd optimizer.nesterov": (("false",), ("maybe", "null"), ("true",)),
    "scheduler=step scheduler.milestones": (("[0.5]",), ("[a]", "x", "null", "0.5"), ("[]", "[2]", "[-1]", "[0.9,0.1]", "[nan]")),
    "scheduler=step scheduler.gamma": (("0.5",), ("x", "null"), ("-1", "0", "1e308", "nan")),
    "scheduler=onecycle scheduler.warmup": (("0.5",), ("x", "null"), ("2", "-1", "0", "1")),
}  # fmt: skip

GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "model": (("lenet_bn", "densenet", "googlenet", "resnet18"), ("", "null", "lenett", "[lenet]", "{lenet:1}", "../conf/model/lenet", "/etc/passwd", "Lenet", "resnet18;ls", "model", "."), ("lenet.yaml", "nin", "alexnet", "vgg11", "./lenet")),
    "init": (("kaiming", "xavier"), ("null", "x", "[default]"), ()),
    "data": (("digits",), ("null", "mnist", "[digits]", ""), ("fashion_mnist",)),
    "optimizer": (("adamw", "sgd"), ("null", "adamm", "[adam]", "sgd/"), ("adam.yaml",)),
    "scheduler": (("cosine", "onecycle", "step"), ("null", "cos"), ()),
    "trainer": (("cpu",), ("null", "x", "tpu"), ("gpu", "ddp")),
    "experiment": (("null",), ("best/lent", "../config", "[best/lenet]", "best/"), ("best/lenet", "best", "book/protocol", "book/sgd/lenet", "best_sgd", "book/five_epochs")),
    "hydra/launcher": (("local",), ("x", "null"), ("basic", "slurm", "joblib", "submitit_local")),
    "hydra/sweeper": (("grid",), ("x",), ("basic", "optuna", "optuna/learning_rate")),
    "hydra/job_logging": (("run_log",), ("x",), ("disabled", "none", "stdout", "default", "null")),
    "hydra/hydra_logging": (("default",), ("x",), ("disabled", "none")),
    "hydra/output": (("default",), ("x",), ()),
    "hydra/help": ((), ("x",), ("default",)),
    "task": ((), ("train/x",), ()),
}  # fmt: skip

HYDRA: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "hydra.job.chdir": (("false",), ("maybe",), ("true", "null")),
    "hydra.job.name": (("run",), ("[x]",), ("a/b", "''", "x" * 300, "${seed}", "null", "'\x1b[31m'", "..")),
    "hydra.output_subdir": (("null", ".hydra"), (), ("''", "a/b", "x" * 300, "checkpoints")),
    "hydra.verbose": (("false",), (), ("true", "[nope]", "x", "null")),
    "hydra.mode": (("RUN",), ("FLY",), ("MULTIRUN", "null")),
    "hydra.searchpath": (("[]",), (), ("[file:///nowhere]", "[pkg://nope]", "x", "null", "[1]")),
    "hydra.callbacks": ((), ("null", "{}", "x", "[1]"), ()),
    "hydra.callbacks.run_directory": ((), ("null", "x"), ()),
    "hydra.callbacks.run_directory._target_": ((), ("os._exit", "builtins.print", "null"), ()),
    "hydra.run": ((), ("null", "x"), ()),
    "hydra.sweep": ((), ("x",), ("null",)),
    "hydra.sweep.dir": ((), (), ("outputs/other", "''", "x" * 300, "${seed}")),
    "hydra.job_logging": ((), (), ("null", "x", "{version:9}")),
    "hydra.job_logging.root.level": (("INFO",), (), ("LOUD", "null", "-1")),
    "hydra.runtime.output_dir": ((), (), ("x",)),
    "hydra.launcher": ((), (), ("null", "local", "x")),
    "hydra.launcher._target_": ((), (), ("os._exit", "builtins.print")),
    "hydra.sweeper": ((), (), ("null", "grid")),
    "hydra.job.env_set": ((), (), ("{A:b}", "{A:1}", "x", "{RANK:x}", "{RANK:1}")),
    "hydra.job.config": ((), (), ("null", "x")),
    "hydra.help": ((), (), ("null",)),
    "hydra": ((), ("null", "x", "{}"), ()),
    "hydra.nope": ((), ("1",), ()),
}  # fmt: skip

WORDS: dict[Sense, tuple[tuple[str, ...], ...]] = {
    Sense.SENSELESS: (
        ("+hydra.x=1",), ("++hydra.x=1",), ("+foo=bar",), ("++foo=1",), ("foo=bar",), ("+optimizer.foo=1",), ("++model.foo=null",), ("~model",),
        ("~optimizer.lr",), ("~seed",), ("~foo",), ("~hydra.callbacks.run_directory",), ("~hydra.callbacks",),
        ("~data.root",), ("+model=lenet",), ("++model=lenet",), ("+callbacks=mine",), ("+trainer.callbacks=[1]",), ("+trainer.profiler=simple",),
        ("+trainer.logger=true",), ("++trainer.num_sanity_val_steps=5",), ("optimizer@x=adam",), ("+optimizer@model=adam",), ("model@_global_=lenet",),
        ("data.batch_size",), ("a b",), ("=",), ("=1",), ("a=",), ("",), ("-",), ("--",), (" ",), ("model lenet",), ("\u2013m",), ("model.=1",), (".model=1",),
        ("model..norm=batch",), ("model[norm]=batch",), ("'model'=lenet",), ("model:lenet",), ("seed=1", "seed"), ("+",), ("~",), ("++",), ("+=1",),
        ("~=1",), ("--cfg",), ("--cfg", "foo"), ("--config-dir",), ("--config-dir=",), ("--config-dir=nowhere",), ("--config-dir", "x" * 5000),
        ("--config-name",), ("--config-name=nope",), ("--config-path=nowhere",), ("--experimental-rerun=x.pickle",), ("--experimental-rerun", "/dev/zero"),
        ("--experimental-rerun",), ("--mult",), ("--conf", "job"), ("--infoo",), ("-x",), ("--seed=1",), ("--model", "lenet"), ("--package",),
        ("--info=foo",), ("--run", "--multirun"), ("-m", "--cfg=job"), ("--shell-completion",), ("dry_run=true",), ("retry_failed=true",),
        ("on_error=stop",), ("sweep=x",), ("hydra.launcher.jobs=2",), ("hydra.sweeper.params={}",), ("model=lenet,densenet",), ("seed=range(0)",),
        ("seed=choice()",), ("optimizer.lr=interval(0,1)",), ("\x1b[2J",), ("--\x1b[2J",), ("se\u0435d=1",), ("seed\u200b=1",), ("SEED=1",), ("seed:1",),
        ("\ufeffseed=1",), ("seed =1",), ("*=1",), ("$seed=1",), ("a" * 3000 + "=1",), (".".join("a" * 900) + "=1",), ("optimizer={lr:0.1}",), ("data=[1]",),
        ("seed=0", "seed=x"), ("optimizer.momentum=0.9",), ("trainer={}",), ("scheduler.gamma=2",),
    ),
    Sense.UNUSUAL: (
        ("--hydra-help",), ("--help",), ("--version",), ("--cfg=job",), ("--cfg", "hydra"), ("--cfg=all", "--resolve"), ("--cfg=job", "--package=model"),
        ("--cfg=job", "--package=nope"), ("--info",), ("--info=all",), ("--info=config",), ("--info=defaults",), ("--info=defaults-tree",), ("--info=plugins",),
        ("--info=searchpath",), ("--shell-completion", "install=bash"), ("--shell-completion", "query=bash"), ("-sc", "uninstall=fish"), ("--run",),
        ("--config-name=config",), ("--config-name=config.yaml",), ("--config-name=model/lenet",), ("--config-path=.",), ("--resolve",), ("--package=x",),
        ("task=inspect",), ("task=inspect", "model=lenet,densenet"), ("-m", "task=inspect", "model=lenet,nin"), ("task=inspect", "--cfg=job"), ("--config-dir=.",),
        ("--config-dir=/",), ("seed=0", "seed=1"), ("model=lenet", "model=lenet"), ("++seed=3",), ("++optimizer.lr=0.1",), ("seed=${oc.decode:1}",),
        ("optimizer.lr=${loss.label_smoothing}",), ("data.seed=${seed}",), ("data.resize=${data.resize}",), ("seed=${seed}",), ("seed=${oc.env:SEED,3}",), ("trainer.devices=[0,0]",),
    ),
}  # fmt: skip

_FAST = "seed=0,1"
SWEEPS: dict[Sense, tuple[tuple[str, ...], ...]] = {
    Sense.GOOD: (("-m", _FAST), ("-m", "optimizer=adam,sgd"), ("-m", "dry_run=true", "seed=range(0,200)")),
    Sense.SENSELESS: (
        ("-m", "seed=range(0)"), ("-m", "seed=range(5,1)"), ("-m", "seed=choice()"), ("-m", "model=glob(zzz*)"), ("-m", "seed=1,x"), ("-m", "model=lenet,"),
        ("-m", "seed=,"), ("-m", "optimizer.lr=interval(0.1,1)"), ("-m", "hydra.launcher.jobs=0", _FAST), ("-m", "hydra.launcher.jobs=-1", _FAST),
        ("-m", "hydra.launcher.jobs=x", _FAST), ("-m", "hydra.launcher.jobs=null", _FAST), ("-m", "on_error=foo", _FAST), ("-m", "on_invalid=1", _FAST),
        ("-m", "sweep='a b'", _FAST), ("-m", "sweep=../x", _FAST), ("-m", "sweep=''", _FAST), ("-m", "seed=1", "--help=x"), ("-m", "seed=range(1,2,0)"),
        ("-m", "model=lenet,densenet", "model.padding=1"), ("-m", "seed=[1,2]"), ("-m", "optimizer.lr=tag(a,interval(0,1))"), ("-m", "dry_run=maybe"),
        ("-m", "hydra/sweeper=optuna", "optimizer.lr=interval(1,0)"), ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=0", _FAST),
        ("-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler=foo", _FAST), ("-m", "hydra/sweeper=optuna", "hydra.sweeper.nope=1", _FAST),
        ("-m", "hydra.sweeper.params={seed:[}",), ("-m", "hydra.sweeper.params={nope:'1,2'}"), ("-m", "hydra.sweeper.params=x"), ("-m", "hydra/sweeper=basic", _FAST),
    ),
    Sense.UNUSUAL: (
        ("-m",), ("-m", "seed=0"), ("-m", "seed=0,0"), ("-m", "seed=range(0,10000)", "dry_run=true"), ("-m", "hydra.launcher.jobs=1e9", _FAST),
        ("-m", "hydra.launcher.jobs=1000000000", "dry_run=true", _FAST), ("-m", "hydra.sweep.dir=out", _FAST), ("-m", "hydra.sweep.subdir=x", _FAST), ("-m", "hydra.run.dir=x", "seed=0"),
        ("-m", "model=resnet18,resnet34", "model.stem=3x3", "dry_run=true"), ("-m", "experiment=glob(*)", "dry_run=true"), ("-m", "experiment=glob(best/*)", "dry_run=true"),
        ("-m", "hydra.sweeper.params={seed:'1,2'}", "dry_run=true"), ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "optimizer.lr=interval(1e-4,1e-2)"),
        ("-m", "hydra/sweeper=optuna", "dry_run=true", _FAST), ("-m", "hydra/launcher=slurm", "dry_run=true", _FAST), ("-m", "hydra/launcher=slurm", "seed=0"),
        ("-m", "hydra.launcher=joblib", _FAST), ("-m", "optimizer.lr=0.1,1e400", "on_invalid=skip", "dry_run=true"), ("-m", "seed=shuffle(range(0,3))", "dry_run=true"),
        ("-m", "trainer=ddp", "dry_run=true"), ("-m", "sweep=x", "retry_failed=true", "dry_run=true"), ("-m", "hydra.sweep.dir=''", "dry_run=true"),
        ("-m", "seed=sort(3,1)", "dry_run=true"), ("-m", "loss.label_smoothing=0,'\x1b[31m'", "on_invalid=skip", "dry_run=true"), ("-m", "hydra.sweeper.params={a:1}"),
        ("-m", "data.batch_size=" + ",".join(map(str, range(1, 400))), "dry_run=true"), ("-m", "hydra.launcher.jobs=1e9", "dry_run=true", _FAST),
    ),
}  # fmt: skip

ENVIRONMENTS: tuple[tuple[tuple[str, str | None], ...], ...] = (
    (("RANK", "1"),), (("RANK", "x"),), (("RANK", ""),), (("RANK", "-1"),), (("LOCAL_RANK", "1"),), (("LOCAL_RANK", "x"),), (("SLURM_PROCID", "1"),),
    (("SLURM_PROCID", "x"),), (("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2"), ("SLURM_JOB_ID", "7")), (("SLURM_NTASKS", "x"), ("SLURM_JOB_NAME", "a")),
    (("WORLD_SIZE", "1"),), (("WORLD_SIZE", "x"),), (("GROUP_RANK", "0"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")), (("CUDA_VISIBLE_DEVICES", ""),),
    (("CUDA_VISIBLE_DEVICES", "x"),), (("CNN_EXPERIMENTS_DATA", "/nowhere"),), (("CNN_EXPERIMENTS_DATA", ""),), (("CNN_EXPERIMENTS_DATA", "/etc/passwd"),),
    (("TERM", "dumb"),), (("TERM", ""),), (("TERM", "\x1b"),), (("TERM", None),), (("COLUMNS", "1"),), (("COLUMNS", "x"),), (("COLUMNS", "0"),), (("COLUMNS", "-5"),),
    (("COLUMNS", "99999999999999999999"),), (("LINES", "x"),), (("PYTHONIOENCODING", "ascii"),), (("PYTHONIOENCODING", "latin-1"),), (("HYDRA_FULL_ERROR", "x"),),
    (("HOME", None),), (("HOME", "/nowhere"),), (("TMPDIR", "/nowhere"),), (("LANG", "C"), ("LC_ALL", "C")), (("NO_COLOR", "1"),), (("FORCE_COLOR", "1"),),
    (("OMP_NUM_THREADS", "x"),), (("OMP_NUM_THREADS", "-1"),), (("PATH", ""),), (("PATH", None),), (("MASTER_PORT", "x"),), (("MASTER_ADDR", "nowhere.invalid"),), (("USER", None),),
    (("GIT_DIR", "/nowhere"),), (("PL_GLOBAL_SEED", "x"),), (("TORCHELASTIC_RUN_ID", "1"),), (("HYDRA_HYDRA", "x"),), (("TZ", "Nowhere/X"),), (("PYTHONWARNINGS", "error"),),
)  # fmt: skip


def _file(name: str, content: str | bytes) -> SetUp:
    def set_up(work: Path, _: Path) -> None:
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)

    return set_up


def _special(name: str, make: Callable[[Path], None]) -> SetUp:
    def set_up(work: Path, _: Path) -> None:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        make(work / name)

    return set_up


def _stored_run(name: str, change: Callable[[Path], None] | None = None) -> SetUp:
    """Copy the run that was trained before, and change it."""

    def set_up(work: Path, stored: Path) -> None:
        shutil.copytree(stored, work / name, symlinks=True)
        if change is not None:
            change(work / name)

    return set_up


def _damage(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: (run / file).write_bytes(content) and None


def _truncate(file: str, share: float) -> Callable[[Path], None]:
    return lambda run: os.truncate(run / file, int((run / file).stat().st_size * share))


def _edit_results(**values: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / "results.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


_DEEP = b"[" * 100_000
DAMAGED_FILES = (
    b"",
    b"\x00" * 100,
    b"[]",
    b"null",
    b"{}",
    b"text\n",
    b"\xff\xfe",
    _DEEP,
    b'{"status": "completed"}',
    b'{"status": 1e999}',
    b"\x80\x02.",
    b"PK\x03\x04",
)
_PICKLE_WITH_CODE = b"cos\nsystem\n(S'touch pwned'\ntR."

DIRECTORIES: tuple[tuple[str, Sense, SetUp | None], ...] = (
    ("mine", Sense.GOOD, None), ("a/b/c", Sense.GOOD, None), ("'with space'", Sense.GOOD, None), ("é", Sense.GOOD, None),
    (".", Sense.UNUSUAL, None), ("''", Sense.UNUSUAL, None), ("x" * 300, Sense.SENSELESS, None), ("y/" * 2500 + "z", Sense.SENSELESS, None), ("'a=b'", Sense.UNUSUAL, None), ("a=b", Sense.UNUSUAL, None),
    ("${seed}", Sense.UNUSUAL, None), ("mine-${seed}-${model._target_}", Sense.UNUSUAL, None), ("${nope}", Sense.SENSELESS, None), ("'a,b'", Sense.UNUSUAL, None), ("[a]", Sense.SENSELESS, None), ("null", Sense.SENSELESS, None),
    ("/dev/null", Sense.SENSELESS, None), ("/dev/null/x", Sense.SENSELESS, None), ("/proc/x", Sense.SENSELESS, None), ("/sys/x", Sense.SENSELESS, None), ("'\x1b[31mred'", Sense.UNUSUAL, None), ("'a\nb'", Sense.UNUSUAL, None), ("???", Sense.UNUSUAL, None), ("~", Sense.UNUSUAL, None),
    ("file", Sense.SENSELESS, _file("file", "")), ("file/below", Sense.SENSELESS, _file("file", "")), ("link", Sense.UNUSUAL, _special("link", lambda path: path.symlink_to("nowhere"))),
    ("loop", Sense.SENSELESS, _special("loop", lambda path: path.symlink_to("loop"))), ("pipe", Sense.SENSELESS, _special("pipe", os.mkfifo)), ("full", Sense.SENSELESS, _file("full/notes.txt", "mine")),
    ("run", Sense.UNUSUAL, _stored_run("run")), ("run", Sense.UNUSUAL, _stored_run("run", _edit_results(status="failed", error="x"))), ("run", Sense.UNUSUAL, _stored_run("run", _edit_results(status="running"))),
    ("run", Sense.UNUSUAL, _stored_run("run", _edit_results(status="interrupted", identity="x"))), ("run", Sense.UNUSUAL, _stored_run("run", _edit_results(metrics=[1], seconds={"fit": "x"}))),
    ("run", Sense.UNUSUAL, _stored_run("run", _edit_results(seconds={"fit": -1, "test": None}, overrides=[1, None, {}]))), ("run", Sense.UNUSUAL, _stored_run("run", lambda run: (run / "results.json").unlink())),
    *((("run", Sense.UNUSUAL, _stored_run("run", _damage("results.json", content)))) for content in DAMAGED_FILES),
    *((("run", Sense.UNUSUAL, _stored_run("run", _damage("metrics.csv", content)))) for content in DAMAGED_FILES[:4]),
)  # fmt: skip
"""Values of hydra.run.dir, and what is there before."""


def _unfinished(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def changed(run: Path) -> None:
        _edit_results(status="interrupted", signal="SIGTERM")(run)
        change(run)

    return changed


CHECKPOINTS: tuple[tuple[str, Sense, SetUp | None], ...] = (
    ("run", Sense.UNUSUAL, _stored_run("run")), ("run/checkpoints/best.ckpt", Sense.UNUSUAL, _stored_run("run")), ("./run/", Sense.UNUSUAL, _stored_run("run")), ("run/checkpoints", Sense.UNUSUAL, _stored_run("run")),
    ("run/results.json", Sense.SENSELESS, _stored_run("run")), ("empty", Sense.SENSELESS, _special("empty", Path.mkdir)), ("pipe", Sense.SENSELESS, _special("pipe", os.mkfifo)),
    ("link", Sense.SENSELESS, _special("link", lambda path: path.symlink_to("nowhere"))), ("loop", Sense.SENSELESS, _special("loop", lambda path: path.symlink_to("loop"))),
    ("code.ckpt", Sense.SENSELESS, _file("code.ckpt", _PICKLE_WITH_CODE)), *((("bad.ckpt", Sense.SENSELESS, _file("bad.ckpt", content))) for content in DAMAGED_FILES),
    *((("run", Sense.SENSELESS, _stored_run("run", _truncate("checkpoints/last.ckpt", share)))) for share in (0.0, 0.1, 0.5, 0.9, 0.99)),
    *((("run", Sense.SENSELESS, _stored_run("run", _damage("checkpoints/last.ckpt", content)))) for content in DAMAGED_FILES),
    ("run", Sense.UNUSUAL, _stored_run("run", _damage("checkpoints/best.ckpt", b"text"))), ("run", Sense.UNUSUAL, _stored_run("run", lambda run: (run / "results.json").unlink())),
)  # fmt: skip
"""Values of ckpt_path, and what is there."""

YAML_FILES: tuple[tuple[str | bytes, Sense], ...] = (
    ("defaults: [lenet]\nnorm: batch\n", Sense.GOOD), ("\ufeffdefaults: [lenet]\n", Sense.UNUSUAL), ("", Sense.SENSELESS), ("[1, 2]\n", Sense.SENSELESS), ("text\n", Sense.SENSELESS), ("a: [\n", Sense.SENSELESS),
    ("\ta: 1\n", Sense.SENSELESS), ("a: 1\na: 2\n", Sense.SENSELESS), ("defaults: [missing]\n", Sense.SENSELESS), ("defaults: [mine]\n", Sense.SENSELESS), ("defaults: 3\n", Sense.SENSELESS), ("defaults: [{x: y}]\n", Sense.SENSELESS),
    (b"\xff\xfe\x00", Sense.SENSELESS), (b"\x00" * 50, Sense.SENSELESS), ("a: &a [*a]\n", Sense.SENSELESS), ("defaults: [lenet]\nnorm: ${model.norm}\n", Sense.SENSELESS), ("defaults: [lenet]\nnorm: ${nope}\n", Sense.SENSELESS),
    ("defaults: [lenet]\n1: 2\n", Sense.SENSELESS), ("defaults: [lenet]\nnull: 2\n", Sense.SENSELESS), ("defaults: [lenet]\n'a.b': 2\n", Sense.SENSELESS), ("defaults: [lenet]\ndate: 2020-01-01\n", Sense.SENSELESS), ("defaults: [lenet]\nx: !!python/object/apply:os._exit [0]\n", Sense.SENSELESS),
    ("# @package _global_\nseed: 3\n", Sense.UNUSUAL), ("# @package nope.nope\nseed: 3\n", Sense.UNUSUAL), ("{" * 3000, Sense.SENSELESS), ("a: " * 500, Sense.SENSELESS), ("defaults: [lenet]\nextra: 1\n", Sense.SENSELESS), ("_target_: x\n_args_: 3\n", Sense.SENSELESS),
    *(("_target_: " + target + "\n", Sense.SENSELESS) for target in ("os._exit", "os.abort", "time.sleep", "sys.exit", "builtins.eval", "nope.Nope", "cnn_experiments.models.LeNet", "cnn_experiments", "''", "null", "[1]", "torch.nn.Identity", "torch.nn.ReLU", "antigravity.x", "this.s")),
    *(("_target_: " + target + "\n_args_: [3]\n", Sense.SENSELESS) for target in ("os._exit", "time.sleep", "builtins.exit", "os.system", "torch.hub.load", "builtins.input")),
)  # fmt: skip
"""Files of a network of one's own."""


def draw(seed: int, number: int) -> CommandLine:
    """Return the command line with a number, which depends on nothing but the seed and the number."""
    generator = random.Random(f"{seed}/{number}")  # noqa: S311
    base = [Part(("data=digits",), Sense.GOOD, "data"), Part(("trainer=smoke",), Sense.GOOD, "trainer")]
    parts = {part.key: part for part in base}
    for _ in range(generator.choices((1, 2, 3, 4), (50, 30, 12, 8))[0]):
        part = _draw_part(generator)
        if part.key in ("experiment", "config-dir") and part.sense is not Sense.SENSELESS:
            limits = (
                "trainer.max_epochs=1",
                "trainer.limit_train_batches=2",
                "trainer.limit_val_batches=2",
                "trainer.limit_test_batches=2",
            )
            parts["trainer"] = Part(limits, Sense.GOOD, "trainer")
        parts[part.key] = part
    drawn = list(parts.values())
    if generator.random() < 0.8:
        drawn.sort(key=lambda part: not any(word.startswith("-") for word in part.words))
    return _combine(drawn)


def _draw_part(generator: random.Random) -> Part:
    kinds: dict[Callable[[random.Random], Part], int] = {
        _draw_setting: 34, _draw_evil_value: 14, _draw_group: 8, _draw_other_network: 6, _draw_hydra_setting: 8, _draw_words: 14,
        _draw_sweep: 6, _draw_directory: 9, _draw_checkpoint: 7, _draw_yaml: 8, _draw_environment: 7,
    }  # fmt: skip
    return generator.choices(list(kinds), list(kinds.values()))[0](generator)


def _draw_from(
    generator: random.Random, table: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]
) -> Part:
    key, (good, senseless, unusual) = generator.choice(list(table.items()))
    values = [(value, Sense.GOOD) for value in good] + [(value, Sense.SENSELESS) for value in senseless]
    values += [(value, Sense.UNUSUAL) for value in unusual]
    value, sense = generator.choice(values)
    *others, name = key.split()
    return Part((*others, f"{name}={value}"), sense, others[0].partition("=")[0] if others else name)


def _draw_setting(generator: random.Random) -> Part:
    return _draw_from(generator, SETTINGS)


def _draw_evil_value(generator: random.Random) -> Part:
    key = generator.choice([key for key in SETTINGS if not key.endswith(("_", "ckpt_path"))])
    return Part(
        (f"{key}={generator.choice(EVIL)}",), Sense.UNUSUAL if key == "trainer.precision" else Sense.SENSELESS, key
    )


def _draw_group(generator: random.Random) -> Part:
    return _draw_from(generator, GROUPS)


def _draw_other_network(generator: random.Random) -> Part:
    return _draw_from(generator, OTHER_NETWORKS)


def _draw_hydra_setting(generator: random.Random) -> Part:
    return _draw_from(generator, HYDRA)


def _draw_words(generator: random.Random) -> Part:
    sense = generator.choice(list(WORDS))
    return Part(generator.choice(WORDS[sense]), sense, "words")


def _draw_sweep(generator: random.Random) -> Part:
    sense = generator.choice(list(SWEEPS))
    return Part(generator.choice(SWEEPS[sense]), sense, "words")


def _draw_directory(generator: random.Random) -> Part:
    value, sense, set_up = generator.choice(DIRECTORIES)
    return Part((f"hydra.run.dir={value}",), sense, "hydra.run.dir", set_up=set_up)


def _draw_checkpoint(generator: random.Random) -> Part:
    if generator.random() < 0.3:  # the checkpoint of the run that continues
        content = generator.choice(DAMAGED_FILES)
        file = generator.choice(("checkpoints/last.ckpt", "checkpoints/best.ckpt"))
        set_up = _stored_run("run", _unfinished(_damage(file, content)))
        return Part(("hydra.run.dir=run",), Sense.UNUSUAL, "hydra.run.dir", set_up=set_up)
    value, sense, set_up = generator.choice(CHECKPOINTS)
    return Part((f"ckpt_path={value}",), sense, "ckpt_path", set_up=set_up)


def _draw_yaml(generator: random.Random) -> Part:
    if generator.random() < 0.1:
        make = generator.choice((Path.mkdir, os.mkfifo, lambda path: path.symlink_to("mine.yaml")))
        set_up = _special("own/model/mine.yaml", make)
        return Part(("--config-dir=own", "model=mine"), Sense.SENSELESS, "config-dir", set_up=set_up)
    content, sense = generator.choice(YAML_FILES)
    return Part(("--config-dir=own", "model=mine"), sense, "config-dir", set_up=_file("own/model/mine.yaml", content))


def _draw_environment(generator: random.Random) -> Part:
    variables = generator.choice(ENVIRONMENTS)
    return Part((), Sense.UNUSUAL, f"${variables[0][0]}", environment=variables)


def _combine(parts: list[Part]) -> CommandLine:
    words = [word for part in parts for word in part.words]
    environment = dict(variable for part in parts for variable in part.environment)
    prepared = [part for part in parts if part.set_up is not None]
    if len(prepared) > 1 and any(word.endswith("=run") for word in words):
        prepared = prepared[-1:]  # two parts would prepare the same directory
    set_ups = {part.words: part.set_up for part in prepared if part.set_up is not None}
    line = CommandLine(words, environment, list(set_ups.values()))
    prints_only = any(word.split("=")[0] in PRINTING_FLAGS for word in words)
    runs_nothing = prints_only or any(word in ("dry_run=true", "task=inspect") for word in words)
    is_sweep = "-m" in words
    for part in parts:
        allowed_in_sweep = part.key == "words" and is_sweep and part.words[0] != "-m"
        is_as_drawn = part.set_up is None or part in prepared
        if part.sense is Sense.SENSELESS and is_as_drawn and not prints_only and not allowed_in_sweep:
            line.senseless.append(" ".join(part.words))
    line.trains = not runs_nothing
    return line


PRINTING_FLAGS = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
)
"""Flags after which the program prints something and ends."""


def is_special(path: Path) -> bool:
    """Return whether a path is neither a file nor a directory, such as a named pipe."""
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
