import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)


def train(epoch, keep):
    shift = torch.rand(1).item()
    print("R: shift", epoch, shift)
    net.train()
    for i, (inputs, labels) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs * shift), labels)
        loss.backward()
        optimizer.step()
    return loss.item() * keep


def test():
    net.eval()
    correct = 0
    with torch.no_grad():
        for inputs, labels in test_loader:
            correct += (net(inputs).argmax(1) == labels).sum().item()
    print(f"R: {correct} of {len(test_loader.dataset)}")


for epoch in range(1, 4):
    print("R:", train(epoch, 2.0), len(loader))
    test()
