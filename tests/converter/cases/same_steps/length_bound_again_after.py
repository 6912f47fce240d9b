import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
opt = torch.optim.SGD(net.parameters(), lr=0.1)


def batches(order):
    for at in range(0, len(order), 8):
        rows = order[at : at + 8]
        yield x[rows], y[rows]


def train(net, opt, data, count):
    net.train()
    steps = range(count)
    for _ in steps:
        inputs, labels = next(data)
        opt.zero_grad()
        F.cross_entropy(net(inputs), labels).backward()
        opt.step()


def evaluate(net, data, count):
    net.eval()
    right = 0
    for _ in range(count):
        inputs, labels = next(data)
        right += (net(inputs).argmax(1) == labels).sum().item()
    return right


for epoch in range(3):
    count = len(x) // 8
    train(net, opt, batches(torch.randperm(len(x))), count)
    count = len(x) // 16
    print("R:", epoch, evaluate(net, batches(torch.arange(len(x))), count))
