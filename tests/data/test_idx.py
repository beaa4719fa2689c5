"""Tests of reading files in the format of MNIST."""

import struct

import numpy as np
import pytest
import torch

from cnn_experiments.data.idx import read_idx
from tests.data.replicas import idx_file


def test_bytes_and_big_endian_integers_are_read() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert torch.equal(read_idx(idx_file(images)), torch.from_numpy(images))
    labels = np.array([[1, -2], [70_000, 2**31 - 1]], dtype=np.int32)
    tensor = read_idx(idx_file(labels))
    assert tensor.dtype == torch.int32
    assert tensor.tolist() == labels.tolist()


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\0\1\x08\1\0\0\0\1a", b"\0\0\x0d\1\0\0\0\1abcd"])
def test_other_files_are_rejected(content: bytes) -> None:
    with pytest.raises(ValueError, match="not an IDX file of 8-bit or 32-bit integers"):
        read_idx(content)


@pytest.mark.parametrize("content", [b"abc", b"abcde", b""])
def test_file_of_another_length_is_rejected(content: bytes) -> None:
    header = struct.pack(">HBBI", 0, 8, 1, 4)
    with pytest.raises(ValueError, match=rf"an IDX file of the shape \(4,\) has {8 + len(content)} bytes"):
        read_idx(header + content)


def test_header_that_is_cut_off_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"an IDX file of the shape \(1,\) has 8 bytes"):
        read_idx(struct.pack(">HBBI", 0, 8, 3, 1))
