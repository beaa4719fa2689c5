"""How the documentation is built: `make docs`."""

import os
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from downloaded_notebooks import complete_notebooks  # noqa: E402
from generated_pages import hash_of_code, write_generated_pages  # noqa: E402

DATA_ROOT = Path(os.environ.get("CNN_EXPERIMENTS_DATA", ROOT / "data")).absolute()
HAS_FASHION_MNIST = (DATA_ROOT / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz").exists()
COURSE_DATA = "fashion_mnist" if HAS_FASHION_MNIST else "digits"
os.environ["CNN_EXPERIMENTS_DATA"] = str(DATA_ROOT)
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # of tensorboard
os.environ["JUPYTER_PATH"] = str(ROOT / "docs")  # a kernel that does not warn, once a page, of a local connection
os.environ["COURSE_DATA"] = COURSE_DATA  # what the pages of the course train on

project = "cnn_experiments"
html_show_copyright = False
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "benchmarks", "example_sweep", "generated", "runs"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "force"  # of pages that have changed, and of all if executed_with has
executed_with = f"{COURSE_DATA} {hash_of_code(ROOT / 'src', ROOT / 'conf')}"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_ipywidgets_js = {}  # nothing is loaded from the internet

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
nitpicky = False
copybutton_prompt_text = "$ "  # outputs and prompts are not copied
copybutton_line_continuation_character = "\\"

default_role = "code"  # docstrings mark code as Markdown does
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90

html_theme = "furo"
html_title = "cnn_experiments"
html_static_path = ["_static"]
html_css_files = ["terminal.css"]
html_show_sphinx = False


def keep_whole_first_line(
    _app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Begin the docstring of an attribute with a comment: napoleon takes what is before a first colon for its type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def mix_pages(_app: Sphinx, _env: object, docnames: list[str]) -> None:
    """Order the pages by name instead of folder: one process reads neighbors, and so each gets some notebooks."""
    docnames.sort(key=lambda docname: docname.rpartition("/")[2])


def complete_downloads(app: Sphinx, _env: object) -> None:
    """Complete the executed notebooks before the builder copies them to the downloads."""
    complete_notebooks(Path(app.srcdir), Path(app.outdir).parent / "jupyter_execute")


def setup(app: Sphinx) -> None:
    """Write the generated parts before the pages are read, and read all pages again if the code has changed."""
    app.add_config_value("executed_with", None, "env")
    app.add_lexer("console", TextLexer)  # as words of a shell, settings would be colored at random
    app.connect("autodoc-process-docstring", keep_whole_first_line, priority=400)  # before napoleon's, which has 500
    app.connect("env-before-read-docs", mix_pages)
    app.connect("env-updated", complete_downloads)
    app.connect("builder-inited", lambda app: write_generated_pages(Path(app.srcdir) / "generated"))
