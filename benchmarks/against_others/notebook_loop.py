"""Train as the notebooks of the course do: torchvision's data set, a DataLoader, and a loop of plain PyTorch.

    python benchmarks/against_others/notebook_loop.py [OVERRIDES]

It follows Dive into Deep Learning, "The Image Classification Dataset" and "Convolutional Neural Networks (LeNet)",
https://d2l.ai/chapter_convolutional-neural-networks/lenet.html: transforms of torchvision, up to four worker processes
that load batches, and the sums of the losses and of the right answers after every batch. Prints one line of JSON.
"""

import os
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from workload import read_workload

NUM_WORKERS = min(4, len(os.sched_getaffinity(0)))
"""As many as in the book, unless there are fewer processors."""

workload = read_workload(sys.argv[1:])
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

resize = [transforms.Resize(workload.size)] if workload.size else []
train_set = datasets.FashionMNIST(
    workload.data_root, train=True, transform=transforms.Compose([*resize, transforms.ToTensor()]), download=True
)
train_loader = DataLoader(train_set, workload.batch_size, shuffle=True, num_workers=NUM_WORKERS)

network = workload.build_network().to(device)
optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
loss_function = nn.CrossEntropyLoss()
clock = workload.new_clock()

epoch = 0
while not clock.is_finished:
    epoch += 1
    loss_sum, num_correct, num_images = 0.0, 0.0, 0
    network.train()
    for images, labels in train_loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        logits = network(images)
        loss = loss_function(logits, labels)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            loss_sum += float(loss * len(labels))
            num_correct += float((logits.argmax(dim=1) == labels).sum())
            num_images += len(labels)
        clock.step_done()
        if clock.is_finished:
            break
    print(f"epoch {epoch}  loss {loss_sum / num_images:.3f}  accuracy {num_correct / num_images:.3f}")
clock.print_measurement()
