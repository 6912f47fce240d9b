import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def train(loader, optimizer, epoch):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print("R:", epoch, round(total / len(loader), 5))
    return total


torch.manual_seed(8)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
for parameter in model[0].parameters():
    parameter.requires_grad = False
optimizer = torch.optim.SGD(model[2].parameters(), lr=0.2)
for epoch in range(2):
    train(loader, optimizer, epoch)
for parameter in model.parameters():
    parameter.requires_grad = True
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
for epoch in range(2, 4):
    train(loader, optimizer, epoch)
