import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)


class Solver:
    def __init__(self):
        self.net = nn.Linear(4, 3)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.epoch = 1

    def train(self):
        for epoch in range(self.epoch, 4):
            for inputs, labels in loader:
                self.opt.zero_grad()
                F.cross_entropy(self.net(inputs), labels).backward()
                self.opt.step()
            self.opt.param_groups[0]["lr"] = 0.1 / epoch
            self.epoch += 1
            print("R:", epoch, self.epoch)


Solver().train()
net = nn.Linear(4, 3)
adam = torch.optim.SGD(net.parameters(), lr=0.1)
done = 2
for epoch in range(done + 1, 6):
    done += 1
    for group in adam.param_groups:
        group["lr"] = 0.1 / epoch
    for inputs, labels in loader:
        adam.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        adam.step()
    print("R:", epoch, done)
