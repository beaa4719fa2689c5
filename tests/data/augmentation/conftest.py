"""Images that tests of augmentation share."""

import pytest
import torch
from torch import Tensor


@pytest.fixture(params=[1, 3], ids=["gray", "color"])
def images(request: pytest.FixtureRequest) -> Tensor:
    """Return images of noise without black pixels, uint8 (64, 1 or 3, 28, 20)."""
    shape = (64, request.param, 28, 20)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
