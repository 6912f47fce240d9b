import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def train(net, loader, optimizer, losses):
    net.train()
    last = 0
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        last = loss.item()
    return last


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Linear(4, 3)
optimizer = torch.optim.Adam(net.parameters())
losses = []
for epoch in range(3):
    last = train(net, loader, optimizer, losses)
    print(f"R: {epoch} {last:.6f} {sum(losses) / len(losses):.6f}")
print("R:", losses[:2], len(losses))
