"""Train in a loop of plain PyTorch over batches that are ready in the memory of the device: the least there is to do.

    python benchmarks/against_others/bare_loop.py contiguous|channels_last [OVERRIDES]

There is no data loader, the images of a batch are the same in every epoch, and nothing but the loss is computed. The
layout of images and weights is the argument, and glibc's allocator is set as this program sets it. It follows PyTorch's
"Performance Tuning Guide", https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html, for the layout.
Prints one line of JSON.
"""

import sys

import torch
from torch.nn import functional as F
from torchvision import datasets
from workload import read_workload

from cnn_experiments.runtime.memory import disable_malloc_trim

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

memory_format = MEMORY_FORMATS[sys.argv[1]]
workload = read_workload(sys.argv[2:])
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
disable_malloc_trim()

train_set = datasets.FashionMNIST(workload.data_root, train=True, download=True)
batches = []
for indices in torch.randperm(len(train_set)).split(workload.batch_size)[: workload.num_steps]:
    images = train_set.data[indices, None].to(device) / 255
    if workload.size:
        images = F.interpolate(images, (workload.size, workload.size), mode="bilinear", antialias=True)
    batches.append((images.to(memory_format=memory_format), train_set.targets[indices].to(device)))

network = workload.build_network().to(device, memory_format=memory_format).train()
optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
clock = workload.new_clock()

while not clock.is_finished:
    for images, labels in batches:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        clock.step_done()
        if clock.is_finished:
            break
clock.print_measurement()
