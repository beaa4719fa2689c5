"""The operations of the course's chapter from scratch: cross-correlation, pooling and batch normalization.

The functions called `*_naive` follow the definitions with loops. The others compute the same on strided views, fast
enough for training.
"""

from cnn_experiments.models.scratch.batch_norm import BatchNorm
from cnn_experiments.models.scratch.correlation import (
    Conv2d,
    corr2d,
    corr2d_as_matrix_product,
    corr2d_linear,
    corr2d_matrix,
    corr2d_multi_in,
    corr2d_multi_in_naive,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
    corr2d_multi_in_out_naive,
    corr2d_naive,
)
from cnn_experiments.models.scratch.pooling import PoolMode, pool2d, pool2d_naive
from cnn_experiments.models.scratch.windows import unfold2d

__all__ = [
    "BatchNorm",
    "Conv2d",
    "PoolMode",
    "corr2d",
    "corr2d_as_matrix_product",
    "corr2d_linear",
    "corr2d_matrix",
    "corr2d_multi_in",
    "corr2d_multi_in_naive",
    "corr2d_multi_in_out",
    "corr2d_multi_in_out_1x1",
    "corr2d_multi_in_out_naive",
    "corr2d_naive",
    "pool2d",
    "pool2d_naive",
    "unfold2d",
]
