import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Options:
    resume = True
    warm = 1


def train(epoch):
    net.train()
    for batch_index, (images, labels) in enumerate(loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        if epoch <= args.warm:
            warmup.step()
    print("R:", epoch, round(loss.item(), 5), round(optimizer.param_groups[0]["lr"], 6))


@torch.no_grad()
def evaluate(epoch):
    net.eval()
    return sum((net(x).argmax(1) == y).sum().item() for x, y in loader) / 40


args = Options()
torch.manual_seed(8)
x = torch.randn(40, 4)
loader = DataLoader(TensorDataset(x, (x[:, 2] > 0).long()), batch_size=8, shuffle=True)
net = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4], gamma=0.2)
warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 5)
best_acc = 0.0
if args.resume:
    resume_epoch = 2
for epoch in range(1, 6):
    if epoch > args.warm:
        scheduler.step()

    if args.resume:
        if epoch <= resume_epoch:
            continue

    train(epoch)
    acc = evaluate(epoch)
    if epoch > 3 and best_acc < acc:
        best_acc = acc
        print("R: best", epoch, acc)
        continue
    if not epoch % 2:
        print("R: save", epoch)
print("R:", best_acc)
