"""MLflow: Lightning's logger, for runs that are resumed, fail, or log to one SQLite file at the same time."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch.loggers import MLFlowLogger as LightningMLFlowLogger
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

_DEFAULT_URI = "sqlite:///mlflow.db"
_SQLITE = "sqlite:///"
_MAX_RETRIES = 2
"""How often a request that fails is repeated; MLflow's own 7 can take a quarter of an hour."""


class MLFlowLogger(LightningMLFlowLogger):
    """Log to one MLflow run, also if the run of this program has several parts.

    Args:
        experiment_name: where the run is listed; it is made if it does not exist.
        run_name: None for the last two parts of the path of the run directory.
        tracking_uri: a SQLite file or a server; None for the environment variable MLFLOW_TRACKING_URI, or else for
            mlflow.db in the working directory.
        timeout: the seconds after which a request to a server fails, unless MLFLOW_HTTP_REQUEST_TIMEOUT is set.
        tags: of the run.
        note: of the run; MLflow shows it as its description.
        save_dir: the run directory.
        version: the id of the run; None for a new one.
    """

    def __init__(
        self,
        experiment_name: str,
        run_name: str | None,
        tracking_uri: str | None,
        timeout: int,
        tags: Sequence[str],
        note: str | None,
        save_dir: str,
        version: str | None,
    ) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(_MAX_RETRIES))
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT_URI
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells how it makes each table
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each request that it repeats
        with _one_process_at_a_time(uri):
            client = MlflowClient(uri)
            if version is None and client.get_experiment_by_name(experiment_name) is None:
                client.create_experiment(experiment_name)
            super().__init__(
                experiment_name=experiment_name,
                run_name=run_name or "/".join(Path(save_dir).parts[-2:]),
                tracking_uri=uri,
                tags=dict.fromkeys(tags, "true") | ({MLFLOW_RUN_NOTE: note} if note else {}),
                run_id=version,
            )
            if version is not None:
                self.experiment.update_run(version, status="RUNNING")
            else:
                assert self.run_id is not None  # makes the run

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Log settings; MLflow can't change those that a run has, which was resumed."""
        stored = self.experiment.get_run(self.run_id).data.params
        super().log_hyperparams({key: value for key, value in params.items() if key not in stored})

    def finalize(self, status: str = "success") -> None:
        """End the run: finished, failed or, if it was interrupted, killed."""
        super().finalize("KILLED" if status == "aborted" else status)


@contextmanager
def _one_process_at_a_time(tracking_uri: str) -> Iterator[None]:
    """Let one process alone make the tables and the experiment in a SQLite file."""
    if not tracking_uri.startswith(_SQLITE):
        yield
        return
    with FileLock(f"{tracking_uri.removeprefix(_SQLITE)}.lock"):
        yield
