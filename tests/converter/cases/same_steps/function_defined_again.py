import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(8)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)


def train(net, loader, optimizer):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


net = nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
for epoch in range(2):
    print("R: first", epoch, round(train(net, loader, optimizer), 5))


def train(net, loader, optimizer):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = 2 * F.cross_entropy(net(x), y) + 0.01 * sum(p.pow(2).sum() for p in net.parameters())
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


net = nn.Linear(4, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(2):
    print("R: second", epoch, round(train(net, loader, optimizer), 5))
