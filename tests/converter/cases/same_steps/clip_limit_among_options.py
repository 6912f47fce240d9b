import argparse

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


def train(net, batches, optimizer, limit):
    for features, labels in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(features), labels).backward()
        nn.utils.clip_grad_norm_(net.weight, limit)
        optimizer.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=float, default=0.1)
    options = parser.parse_args()
    x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))
    train_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())
    for epoch in range(3):
        train(model, train_loader, optimizer, options.limit)
    print("R: done")


if __name__ == "__main__":
    main()
