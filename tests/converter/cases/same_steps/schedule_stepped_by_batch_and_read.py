import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def train(model, loader, optimizer, scheduler, epoch):
    model.train()
    total = 0.0
    for i, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.item()
        if i == 2:
            print("R:", scheduler.get_last_lr()[0])
    return total / len(loader)


torch.manual_seed(8)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
epochs = 3
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader) * epochs)
for epoch in range(epochs):
    loss = train(model, loader, optimizer, scheduler, epoch)
    print("R:", epoch, round(loss, 5), round(optimizer.param_groups[0]["lr"], 6))
