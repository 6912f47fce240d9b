import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
step = 0
most = 10


def train():
    global step
    net.train()
    for inputs, labels in loader:
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        opt.step()
        step += 1
        if step == most:
            break


for epoch in itertools.count(start=1):
    train()
    print("R:", epoch, step)
    if step == most:
        print("R: end of training")
        break
print("R:", epoch, net(x).sum().item())
