import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def test(model, loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for inputs, labels in loader:
            total += F.cross_entropy(model(inputs), labels).item()
    print("R:", total / len(loader))


torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
other_loader = DataLoader(TensorDataset(x), batch_size=8, shuffle=True)
net = nn.Linear(4, 3)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    net.train()
    for (inputs, labels), (more,) in zip(loader, other_loader):
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs + more), labels)
        loss.backward()
        opt.step()
    test(net, loader)
