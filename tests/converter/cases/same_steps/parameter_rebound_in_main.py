import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def train(net, loader, optimizer, last_loss):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        if loss.item() > last_loss:
            print("R: worse", loss.item(), last_loss)
        last_loss = loss.item()
    return last_loss


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    net = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    last_loss = 1.0
    for epoch in range(3):
        last_loss = train(net, loader, optimizer, last_loss)


main()
