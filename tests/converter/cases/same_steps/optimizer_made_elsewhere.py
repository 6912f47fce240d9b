import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Options:
    lr = 0.3
    epochs = 3


def set_optimizer(opt, model):
    make = {"sgd": torch.optim.SGD}["sgd"]
    return make(model.parameters(), lr=opt.lr, momentum=0.9)


def adjust_learning_rate(opt, optimizer, epoch):
    lr = opt.lr * (1 + math.cos(math.pi * epoch / opt.epochs)) / 2
    for param_group in optimizer.param_groups:
        param_group["lr"] = lr


def warmup_learning_rate(opt, epoch, batch_id, total_batches, optimizer):
    if epoch <= 1:
        p = (batch_id + epoch * total_batches) / (2 * total_batches)
        for param_group in optimizer.param_groups:
            param_group["lr"] = 0.01 + p * 0.1


def train(loader, model, criterion, optimizer, epoch, opt):
    model.train()
    total = 0.0
    for idx, (x, y) in enumerate(loader):
        warmup_learning_rate(opt, epoch, idx, len(loader), optimizer)
        loss = criterion(model(x), y)
        total += loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return total / len(loader)


def main():
    opt = Options()
    torch.manual_seed(8)
    x = torch.randn(40, 4)
    loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = set_optimizer(opt, model)
    for epoch in range(1, opt.epochs + 1):
        adjust_learning_rate(opt, optimizer, epoch)
        loss = train(loader, model, criterion, optimizer, epoch, opt)
        print("R:", epoch, round(loss, 5), round(optimizer.param_groups[0]["lr"], 6))


if __name__ == "__main__":
    main()
