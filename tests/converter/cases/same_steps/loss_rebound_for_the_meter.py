import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class AverageMeter:
    def __init__(self):
        self.sum = self.count = 0

    def update(self, value, n=1):
        self.sum += value * n
        self.count += n


def train(loader, model, optimizer, epoch):
    losses = AverageMeter()
    model.train()
    for i, (x, y) in enumerate(loader):
        output = model(x)
        loss = F.cross_entropy(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        output = output.float()
        loss = loss.float() * 10
        losses.update(loss.item(), x.size(0))
        if i % 2 == 0:
            print("R:", epoch, i, round(loss.item(), 4), round(losses.sum / losses.count, 4), output.dtype)


torch.manual_seed(8)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
for epoch in range(3):
    train(loader, model, optimizer, epoch)
