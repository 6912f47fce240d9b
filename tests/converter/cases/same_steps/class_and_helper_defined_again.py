import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(8)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(x)


def loss_fn(output, target):
    return F.cross_entropy(output, target)


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
for epoch in range(2):
    for x, y in loader:
        loss = loss_fn(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("R:", epoch, round(loss.item(), 5))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.net(x)


def loss_fn(output, target):
    return 3 * F.cross_entropy(output, target)


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
for epoch in range(2):
    for x, y in loader:
        loss = loss_fn(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("R:", epoch, round(loss.item(), 5))
