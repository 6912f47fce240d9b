import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters())


def test():
    net.eval()
    total = 0
    with torch.no_grad():
        for inputs, labels in test_loader:
            total += F.cross_entropy(net(inputs), labels).item()
    print(f"R: {total / len(test_loader):.6f}")


for epoch in range(3):
    net.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
    test()
    print("R:", net(x).sum().item())
print("R:", net.training, net(x).sum().item())
