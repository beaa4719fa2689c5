"""Times of the steps of a training, which every program of this comparison measures in the same way."""

import json
import os
import time
from pathlib import Path

import torch

from cnn_experiments.runtime.memory import peak_memory


class StepClock:
    """Measures when the first step of a training has ended, and how long the steps after the warm-up take."""

    def __init__(self, num_warmup_steps: int, num_steps: int) -> None:
        """Take the number of all steps, and of the first ones, which are not timed: at least one."""
        self.num_warmup_steps = num_warmup_steps
        self.num_steps = num_steps
        self.num_done = 0
        self.ended_at: dict[int, float] = {}
        """Seconds from the start of the process to the end of a step, by its number from 1."""

    @property
    def is_finished(self) -> bool:
        """Return whether all steps are done."""
        return self.num_done >= self.num_steps

    def step_done(self) -> None:
        """Count a step. Where a time is taken, wait for the GPU, but nowhere else.

        The peak memory is that until the last step: what this program does then, a test, the others do not do.
        """
        self.num_done += 1
        if self.num_done in (1, self.num_warmup_steps, self.num_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ended_at[self.num_done] = seconds_since_process_start()
        if self.is_finished:
            self.memory_bytes = peak_memory(torch.device("cpu"))

    def print_measurement(self) -> None:
        """Print one line of JSON."""
        timed_seconds = self.ended_at[self.num_steps] - self.ended_at[self.num_warmup_steps]
        num_timed_steps = self.num_steps - self.num_warmup_steps
        measurement = {
            "first_step_seconds": round(self.ended_at[1], 3),
            "seconds_per_step": round(timed_seconds / num_timed_steps, 6),
            "num_timed_steps": num_timed_steps,
            "memory_bytes": self.memory_bytes,
        }
        if torch.cuda.is_available():
            measurement["gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
        print(json.dumps(measurement), flush=True)


def seconds_since_process_start() -> float:
    """Return the age of this process, to which the start of the interpreter and all imports belong. Linux only."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start_ticks = int(after_name[19])  # field 22 of proc(5), since boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / os.sysconf("SC_CLK_TCK")
