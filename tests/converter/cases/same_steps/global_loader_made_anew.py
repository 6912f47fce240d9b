import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))
loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(3, 2)
opt = torch.optim.Adam(net.parameters())


def anew(size):
    global loader
    loader = DataLoader(TensorDataset(x, y), batch_size=size)


for epoch in range(4):
    for a, b in loader:
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(a), b)
        loss.backward()
        opt.step()
    anew(2 + epoch)
