import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def set_rate(optimizer, epoch, first=0.1, every=1):
    """Half the rate after each epoch."""
    rate = first * 0.5 ** (epoch // every)
    if epoch == 0:
        return optimizer
    for group in optimizer.param_groups:
        group["lr"] = rate
    return optimizer


torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(3):
    opt = set_rate(opt, epoch)
    batches = iter(loader)
    net.train()
    for inputs, labels in batches:
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        opt.step()
    print("R:", epoch, opt.param_groups[0]["lr"])
