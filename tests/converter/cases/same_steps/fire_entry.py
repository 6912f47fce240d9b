import sys
import types

import torch
import torch.nn as nn
import torch.nn.functional as F

# A stand-in for the package, so that the test does not need it: runs the function that the command line would name.
sys.modules["fire"] = types.ModuleType("fire")
sys.modules["fire"].Fire = lambda component=None: (component or globals())["train"](lr=0.5, max_epoch=4)
import fire  # noqa: E402


class Config:
    lr = 0.05
    max_epoch = 2
    batch_size = 8
    device = "cpu"


opt = Config()


@torch.no_grad()
def val(model, loader):
    model.eval()
    right = sum((model(x.to(opt.device)).argmax(1) == y).sum().item() for x, y in loader)
    model.train()
    return right


def train(**kwargs):
    for name, value in kwargs.items():
        setattr(opt, name, value)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).to(opt.device)
    x = torch.randn(40, 4)
    data = torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())
    train_loader = torch.utils.data.DataLoader(data, opt.batch_size, shuffle=True)
    lr = opt.lr
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    previous_loss = 1e10
    for epoch in range(opt.max_epoch):
        total = 0.0
        for ii, (data, label) in enumerate(train_loader):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data.to(opt.device)), label.to(opt.device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        print("R:", epoch, round(total, 5), val(model, train_loader))
        if total > previous_loss:
            lr = lr * 0.5
            for param_group in optimizer.param_groups:
                param_group["lr"] = lr
        previous_loss = total


def help():
    print("usage: python file.py train [--args=value]")


if __name__ == "__main__":
    fire.Fire()
