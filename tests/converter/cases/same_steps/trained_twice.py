import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))


def train(model, loader, optimizer, epochs):
    losses = []
    for epoch in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    return losses


loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
small, large = nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.2), nn.Linear(9, 3))
print("R:", train(small, loader, torch.optim.SGD(small.parameters(), lr=0.1), 2))
print("R:", train(large, loader, torch.optim.Adam(large.parameters()), 3))
