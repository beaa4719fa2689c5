"""Tests in a real Jupyter kernel: the page about Python, and a run that the kernel's user interrupts."""

import ast
import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

from cnn_experiments import LoadedRun
from tests.api.conftest import OVERRIDES
from tests.conftest import read_results
from tests.docs.pages import DOCS, code_cells

PAGE = DOCS / "how_to" / "python.md"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """Start a kernel in an empty directory."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def texts(cell: Any, kind: str) -> str:
    """Return what a cell shows, as text of one kind, such as `text/html`."""
    return "".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


def printed(cell: Any) -> str:
    """Return what a cell prints to standard output."""
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_page_about_python_shows_runs_predictions_and_errors(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in code_cells(PAGE)])  # type: ignore[no-untyped-call]
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    (
        train, settings, bad_setting, layer, stages, predict, files, inverted, values, mistakes, logits,
        _, compare, leaderboard, load, frame,
    ) = notebook.cells  # fmt: skip

    stdout = printed(train)
    assert [line.partition("  ")[0] for line in stdout.splitlines()[1:4]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    progress = [output for output in train.outputs if output.output_type == "display_data"]
    assert [output.data["text/html"] for output in progress] == [""]
    assert "<b>lenet_bn on digits: completed, 3 epochs" in texts(train, "text/html")

    results = read_results(tmp_path / "outputs" / "notebook" / "adam")
    lr, accuracy, curve = ast.literal_eval(texts(settings, "text/plain"))
    assert (lr, accuracy, list(curve)) == (0.001, results["metrics"]["test/acc"], [1, 2, 3])
    assert printed(bad_setting) == "optimizer.lr=-1: must be a number > 0\n"

    assert texts(layer, "text/plain") == "Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))"
    assert "total: 44,878 parameters, 281,640 multiply-adds" in texts(stages, "text/html")
    assert texts(predict, "text/html").count("<img ") == 5
    assert "invert=True inverts all images" in texts(files, "text/html")
    assert "invert=True" not in texts(inverted, "text/html")
    assert texts(inverted, "text/plain").count("pictures/") == 3
    assert "'pictures/0.png'" in texts(values, "text/plain")
    assert base64.b64decode(texts(mistakes, "image/png")).startswith(b"\x89PNG")
    assert texts(logits, "text/plain") == "(360, 10)"
    assert "<b>3 runs</b>" in texts(compare, "text/html")
    assert "<b>digits at 28 pixels, holdout of 180, by val/acc</b>" in texts(leaderboard, "text/html")
    assert texts(load, "text/html").count("<img ") == 3
    assert "outputs/notebook/sgd" in texts(frame, "text/plain")


def test_interrupted_kernel_lives_and_the_run_resumes_with_the_same_result(
    kernel: tuple[KernelManager, BlockingKernelClient], tmp_path: Path, trained: LoadedRun
) -> None:
    manager, client = kernel
    call = f"run = cnn_experiments.train(*{OVERRIDES!r}, 'hydra.run.dir=mine')"
    message = client.execute(f"import cnn_experiments\n{call}")
    deadline = time.monotonic() + 120
    while not (tmp_path / "mine" / "metrics.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    manager.interrupt_kernel()
    content = wait_for_reply(client, message)
    assert (content["status"], content["ename"]) == ("error", "KeyboardInterrupt")
    assert content["evalue"].startswith("to resume the run, call train('data=digits', ")
    assert read_results(tmp_path / "mine")["status"] == "interrupted"

    message = client.execute(call, user_expressions={"metrics": "run.metrics"})
    content = wait_for_reply(client, message)
    assert content["status"] == "ok"
    metrics = ast.literal_eval(content["user_expressions"]["metrics"]["data"]["text/plain"])
    assert metrics == trained.metrics


def wait_for_reply(client: BlockingKernelClient, message: str) -> Any:
    """Return the content of the reply to a cell."""
    while True:
        reply = client.get_shell_msg(timeout=120)
        if reply["parent_header"].get("msg_id") == message:
            return reply["content"]
