import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def batches(data, epoch):
    return [(data[i : i + 8], data[i : i + 8].sum(1, keepdim=True)) for i in range(epoch, 24, 8)]


def train(model, pairs, optimizer):
    total = 0
    for x, y in pairs:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


def main():
    torch.manual_seed(0)
    data = torch.randn(32, 4)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        loss = train(model, batches(data, epoch), optimizer)
        print(f"Epoch {epoch}: {loss:.4f}")


if __name__ == "__main__":
    main()
