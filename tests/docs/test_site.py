"""Tests that the site is built without a warning, apart from the execution of its notebooks."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import DOCS, NOT_PAGES


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns(*(path.name for path in NOT_PAGES)))
    # A notebook that is not executed does not know its language.
    settings = ("-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer,mystnb.lexer")
    completed = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--builder", "dummy", *settings,
         "--conf-dir", DOCS, source, tmp_path / "built"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (completed.returncode, completed.stderr) == (0, "")
    assert (source / "generated" / "configuration" / "settings" / "model.md").exists()
