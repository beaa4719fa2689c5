"""Which parameters of Lightning's Trainer are settings, and why the others are none."""

from collections.abc import Mapping
from typing import Any

from cnn_experiments.errors import ConfigError, suggest

_LIGHTNING_TRAINERS = (
    "lightning.pytorch.Trainer",
    "lightning.Trainer",
    "lightning.pytorch.trainer.Trainer",
    "lightning.pytorch.trainer.trainer.Trainer",
)

TRAINER_SETTINGS = (
    "accelerator",
    "strategy",
    "devices",
    "num_nodes",
    "precision",
    "max_epochs",
    "min_epochs",
    "max_steps",
    "max_time",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "check_val_every_n_epoch",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "deterministic",
)
"""The parameters that a trainer's file may have."""

_BY_RUN_DIRECTORY = "the run directory holds everything that a run writes; hydra.run.dir=DIRECTORY chooses it"

UNSUPPORTED_TRAINER_PARAMETERS = {
    "logger": "every run writes TensorBoard events, metrics.csv and results.json",
    "callbacks": "callbacks=[early_stopping,ema] chooses callbacks beside those that every run has",
    "default_root_dir": _BY_RUN_DIRECTORY,
    "enable_checkpointing": "every run saves its best and its last checkpoint",
    "enable_progress_bar": "there is a progress bar if the output is a terminal",
    "enable_model_summary": "task=inspect prints the layers of a network",
    "enable_autolog_hparams": "all settings are in config.yaml and results.json",
    "model_registry": _BY_RUN_DIRECTORY,
    "num_sanity_val_steps": "the network and the data are checked before every run",
    "log_every_n_steps": "metrics are recorded once per epoch",
    "fast_dev_run": "trainer=smoke tries two batches of every split",
    "overfit_batches": "limit_train_batches trains on a part of the training images",
    "limit_predict_batches": "limit_val_batches counts for the predictions of the images held out, too",
    "min_steps": "min_epochs holds max_time back",
    "val_check_interval": "evaluations are after epochs; check_val_every_n_epoch leaves some out",
    "reload_dataloaders_every_n_epochs": "the images stay in memory",
    "use_distributed_sampler": "the data modules share their images among processes themselves",
    "sync_batchnorm": "batch normalization uses the images of its own process",
    "inference_mode": "evaluation never computes gradients",
    "benchmark": "it makes results on a GPU depend on timings",
    "profiler": "callbacks=profiler profiles some steps",
    "detect_anomaly": "a loss that is NaN or infinite ends the run, and the error names the step",
    "barebones": "a run without checkpoints and metrics has no result",
    "plugins": "accelerator, strategy and precision choose what is needed",
}
"""Why the other parameters are no settings, and what to use in their place."""


def check_trainer_keys(trainer: Mapping[str, Any]) -> None:
    """Check that all keys of a trainer's file are parameters that are used as Lightning documents them.

    The parameters of a user's own Trainer are left to its constructor.

    Raises:
        ConfigError: a key is not supported or unknown, or a setting is missing.
    """
    for key in trainer:
        if key in UNSUPPORTED_TRAINER_PARAMETERS:
            problem = f"not supported: {UNSUPPORTED_TRAINER_PARAMETERS[key]}"
            raise ConfigError(f"trainer.{key}", problem=problem, remedy="remove it from the trainer's file")
        if key not in (*TRAINER_SETTINGS, "_target_") and trainer.get("_target_") in _LIGHTNING_TRAINERS:
            problem = f"unknown key; keys of trainer: {', '.join(sorted(TRAINER_SETTINGS))}"
            suggestion = suggest(key, TRAINER_SETTINGS, cutoff=0.6)
            raise ConfigError(f"trainer.{key}", problem=problem, suggestion=suggestion)
    if missing := [key for key in TRAINER_SETTINGS if key not in trainer and key != "gradient_clip_algorithm"]:
        problem = f"must have all settings of trainer=default; missing: {', '.join(missing)}"
        raise ConfigError("trainer", problem=problem, remedy="begin the trainer's file with `defaults: [default]`")
