"""The scripts that make parts of the documentation can be imported by name."""

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
