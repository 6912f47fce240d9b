"""Promise 4: a conversion runs where there is a GPU, with the numbers that the script gives on a CPU.

The GPU is one that computes on the CPU (tests/fake_gpu.py), so that the numbers are the same, and what mixes devices fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from litify_converter.convert import convert

pytest.importorskip("torch")
FAKE_GPU = Path(__file__).parents[1] / "fake_gpu.py"

HEAD = """
import argparse
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(16, 4)
y = torch.randint(0, 3, (16,))
loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3)
criterion = nn.CrossEntropyLoss()
"""
# Of each: what follows the head; what the result has to say, and what it must not.
ALL_AT_ONCE = """
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    optimizer.zero_grad()
    loss = criterion(net(x), y)
    loss.backward()
    optimizer.step()
    print("RESULT %.6f" % loss.data.numpy())
print("RESULT %.6f" % net(x).sum().item())
"""
NOISE_IN_THE_STEP = """
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    for inputs, labels in loader:
        noise = torch.randn(len(inputs), 4) + torch.from_numpy(np.ones((1, 4), dtype=np.float32))
        optimizer.zero_grad()
        loss = criterion(net(inputs + noise), labels)
        loss.backward()
        optimizer.step()
    print("RESULT %.6f" % loss.item())
"""
LISTED_NETWORKS = """
nets = [nn.Linear(4, 3), nn.Linear(4, 3)]
optimizers = [torch.optim.SGD(n.parameters(), lr=0.1) for n in nets]
for epoch in range(2):
    for inputs, labels in loader:
        for one, optimizer in zip(nets, optimizers):
            optimizer.zero_grad()
            loss = criterion(one(inputs), labels)
            loss.backward()
            optimizer.step()
    print("RESULT %.6f" % loss.item())
"""
NETWORK_MAKES_TENSORS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(4, 3, batch_first=True)

    def forward(self, inputs):
        start = torch.zeros(1, len(inputs), 3)
        return self.cell(inputs[:, None], start)[0][:, 0]


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(net(inputs), labels)
        loss.backward()
        optimizer.step()
    print("RESULT %.6f" % loss.item())
"""
OPTION_FOR_THE_GPU = """
parser = argparse.ArgumentParser()
parser.add_argument("--accel", action="store_true")
args = parser.parse_args()
device = torch.device("cuda" if args.accel and torch.cuda.is_available() else "cpu")
net.to(device)
fixed = torch.ones(2, 4, device=device)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(net(inputs), labels) + net(fixed).mean()
        loss.backward()
        optimizer.step()
    print("RESULT %.6f" % loss.item())
with torch.no_grad():
    print("RESULT %.6f" % net(fixed).sum().item())
"""
MOVED_BY_HAND = """
use_cuda = torch.cuda.is_available()
test_x = x[:4]
if use_cuda:
    net.cuda()
    test_x = test_x.cuda()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    for inputs, labels in loader:
        counted = np.bincount(labels.numpy(), minlength=3)
        if use_cuda:
            inputs, labels = inputs.cuda(), labels.cuda()
        optimizer.zero_grad()
        loss = criterion(net(inputs), labels) * float(counted[0])
        loss.backward()
        optimizer.step()
    print("RESULT %.6f" % loss.item())
out = net(test_x)
print("RESULT %.6f" % out.sum().item())
"""
OBJECT_THAT_TRAINS = """
class Solver:
    def __init__(self):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.to(self.device)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def train(self):
        for epoch in range(2):
            for inputs, labels in loader:
                inputs, labels = inputs.to(self.device), labels.to(self.device)
                self.optimizer.zero_grad()
                loss = criterion(self.net(inputs), labels)
                loss.backward()
                self.optimizer.step()
            print("RESULT %.6f" % loss.item())
        self.test()

    def test(self):
        print("RESULT %.6f" % self.net(x.to(self.device)).sum().item())


Solver().train()
"""
CASES = {
    "object_that_trains": (OBJECT_THAT_TRAINS, "self.solver.device = self.device", "accelerator"),
    "all_at_once": (ALL_AT_ONCE, 'self.register_buffer("x", x, persistent=False)', "accelerator"),
    "noise_in_the_step": (
        NOISE_IN_THE_STEP,
        "torch.randn(len(inputs), 4, device=self.device)",
        "accelerator",
    ),
    "listed_networks": (LISTED_NETWORKS, 'accelerator="cpu"', "self.device"),
    "network_makes_tensors": (NETWORK_MAKES_TENSORS, 'accelerator="cpu"', "self.device"),
    "option_for_the_gpu": (OPTION_FOR_THE_GPU, "device = trainer.strategy.root_device", "device.type"),
    "moved_by_hand": (MOVED_BY_HAND, "labels.cpu().numpy()", 'accelerator="cpu"'),
}


@pytest.mark.parametrize("name", CASES)
def test_a_conversion_runs_on_a_gpu(name: str, tmp_path: Path) -> None:
    source, says, never = CASES[name]
    script = tmp_path / "train.py"
    script.write_text(HEAD + textwrap.dedent(source))
    text = convert(script).text
    assert says in text and never not in text
    converted = tmp_path / "train_lit.py"
    converted.write_text(text)
    expected = results(tmp_path, "train.py")
    assert expected and results(tmp_path, str(FAKE_GPU), "train_lit.py") == expected


def results(folder: Path, *command: str) -> list[str]:
    """The lines that tell a result, of a run in a folder."""
    run = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return [line for line in run.stdout.splitlines() if "RESULT" in line]
