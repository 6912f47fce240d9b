import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
net = nn.Linear(4, 3)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(2):
    for data, target in loader:
        optimizer.zero_grad()
        loss = criterion(net(data), target)
        loss.backward()
        optimizer.step()
    print("R:", epoch, loss.item())

for group in optimizer.param_groups:
    group["lr"] = 0.002
for epoch in range(3):
    for data, target in loader:
        optimizer.zero_grad()
        loss = criterion(net(data * 2), target)
        loss.backward()
        optimizer.step()
    print("R:", epoch, loss.item())
print("R:", net.weight.sum().item())
