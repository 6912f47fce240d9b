import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class ScheduledOptim:
    """A wrapper of an optimizer, with a rate for each step."""

    def __init__(self, optimizer, width, n_warmup_steps):
        self._optimizer = optimizer
        self.width = width
        self.n_warmup_steps = n_warmup_steps
        self.n_steps = 0

    def step_and_update_lr(self):
        self._update_learning_rate()
        self._optimizer.step()

    def zero_grad(self):
        self._optimizer.zero_grad()

    def _update_learning_rate(self):
        self.n_steps += 1
        scale = min(self.n_steps ** (-0.5), self.n_steps * self.n_warmup_steps ** (-1.5))
        for param_group in self._optimizer.param_groups:
            param_group["lr"] = np.power(self.width, -0.5) * scale


def train_epoch(model, loader, optimizer):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step_and_update_lr()
        total += loss.item()
    return total / len(loader)


def eval_epoch(model, loader):
    model.eval()
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in loader)


def train(model, loader, optimizer, epochs):
    best = 0
    for epoch in range(epochs):
        loss = train_epoch(model, loader, optimizer)
        lr = optimizer._optimizer.param_groups[0]["lr"]
        right = eval_epoch(model, loader)
        print("R:", epoch, round(loss, 5), round(float(lr), 6), right)
        if right > best:
            best = right


def main():
    torch.manual_seed(6)
    x = torch.randn(40, 4)
    loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
    optimizer = ScheduledOptim(torch.optim.Adam(model.parameters(), betas=(0.9, 0.98)), 16, 8)
    train(model, loader, optimizer, 3)


if __name__ == "__main__":
    main()
