"""What is written down about a run that could not do so itself."""

from datetime import datetime
from typing import Any

from cnn_experiments.runs import hparams
from cnn_experiments.runs.directory import Standing, write_results
from cnn_experiments.runs.fingerprint import configuration, effective
from cnn_experiments.sweep.run import Run


def settle(run: Run, status: str, error: str) -> Standing:
    """How a run stands whose process has ended.

    Args:
        run: the one.
        status: what is written down where the run itself has not done so, failed or interrupted.
        error: why.
    """
    folder, standing = run.folder, run.standing
    unsettled = standing.results.get("status") == "running" or standing.status in ("new", "damaged")
    if standing.status == "running" or not unsettled:
        return standing
    if status == "interrupted" and standing.status == "new":
        return standing  # it had not begun
    facts = {"status": status, "error": error}
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, _beginning(run) | standing.results | facts)
    if not hparams.has_begun(folder):
        hparams.begin(folder, run.combination.options | effective(run.combination.settings))
    hparams.end(folder, status)
    with (folder / "run.log").open("a", encoding="utf-8") as log:
        log.write(f"[{datetime.now():%Y-%m-%d %H:%M:%S,%f}"[:-3] + f"][ERROR] {status}: {error}\n")
    return run.standing


def _beginning(run: Run) -> dict[str, Any]:
    known = run.combination
    return {
        "model": known.options["model"],
        "data": known.options["data"],
        "options": known.options,
        "overrides": known.overrides,
        "seed": known.settings["seed"],
        "identity": known.identity,
        "configuration": configuration(known.settings),
        "settings": effective(known.settings),
        "metrics": {},
        "epochs": 0,
    }
