import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def fit(model, optimizer, loader, epochs):
    for epoch in range(epochs):
        for features, labels in loader:
            model.zero_grad()
            loss = nn.functional.cross_entropy(model(features), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    return model


def main():
    torch.manual_seed(0)
    x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))
    net = nn.Linear(3, 2)
    other = nn.Linear(2, 2)
    adam = torch.optim.Adam(list(net.parameters()) + list(other.parameters()))
    net = fit(net, adam, DataLoader(TensorDataset(x, y), batch_size=8), 3)
    print(sum(p.numel() for p in other.parameters()))


if __name__ == "__main__":
    main()
