import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
net = nn.Linear(4, 3)
optimizer = torch.optim.SGD(net.parameters(), 1e-1)


def train_epoch():
    net.train()
    pos = x * 2
    total = 0.0
    d = DataLoader(range(pos.size(0)), 16, shuffle=True)
    for perm in d:
        loss = nn.functional.cross_entropy(net(pos[perm]), y[perm])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(perm)
    return total / len(pos)


for epoch in range(3):
    noise = torch.randn(1).item()
    loss = train_epoch()
    print("R:", epoch, loss, noise)
