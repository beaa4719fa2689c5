"""Tests of peak memory and of tuning glibc's allocator."""

import subprocess
import sys

import pytest
import torch

from cnn_experiments.runtime.memory import peak_memory, reset_peak_memory

CPU = torch.device("cpu")


def test_peak_memory_is_counted_from_its_reset() -> None:
    reset_peak_memory(CPU)
    initial_peak = peak_memory(CPU)
    block = torch.ones(2**26)  # 256 MiB
    peak = peak_memory(CPU)
    assert 200 * 2**20 < peak - initial_peak < 320 * 2**20
    del block
    assert peak_memory(CPU) == pytest.approx(peak, rel=0.01)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_is_kept_until_it_is_trimmed() -> None:
    program = """
import torch
from pathlib import Path
from cnn_experiments.runtime.memory import disable_malloc_trim, malloc_trim

def resident_mib():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

disable_malloc_trim()
before = resident_mib()
block = torch.ones(2**26)  # 256 MiB
del block
kept = resident_mib() - before
malloc_trim()
print(kept, resident_mib() - before)
"""
    completed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    kept, left_after_trim = (float(word) for word in completed.stdout.split())
    assert kept > 200
    assert left_after_trim < 50
