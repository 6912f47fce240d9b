import sys
import types

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

# Stands for a file beside the script, whose functions nothing is known of.
elsewhere = types.ModuleType("elsewhere")
elsewhere.build = lambda width: nn.Sequential(nn.Linear(4, width), nn.Dropout(0.3), nn.Linear(width, 2))
elsewhere.optimize = lambda net, rate: torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
sys.modules["elsewhere"] = elsewhere
from elsewhere import build, optimize  # noqa: E402

torch.manual_seed(3)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
net = build(16)
opt = optimize(net, 0.1)


def train(network, loader, optimizer):
    right = 0
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
        output = network(inputs)
        right += (output.argmax(1) == labels).sum().item()
    return right


for epoch in range(3):
    print("R:", epoch, train(net, loader, opt))
