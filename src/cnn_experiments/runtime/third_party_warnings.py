"""Messages of other packages that no user can do anything about."""

import logging
import warnings


def filter_third_party_warnings() -> None:
    """Hide them in this process and those that are forked from it."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # at its first import it says that it lists fonts
    # lightning 2.6.6 uses an API that torch 2.13 deprecates
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec", category=FutureWarning)
    # torch says this of a network without outputs, which is rejected with the reason
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors is a no-op")
    # Lightning warns wherever srun is installed
    warnings.filterwarnings("ignore", message="The `srun` command is available on your system but is not used")
