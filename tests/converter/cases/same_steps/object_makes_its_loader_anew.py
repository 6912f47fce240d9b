import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Solver:
    def __init__(self):
        self.net = nn.Linear(3, 2)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.x, self.y = torch.randn(24, 3), torch.randint(0, 2, (24,))
        self.loader = self.make(8)

    def make(self, size):
        return DataLoader(TensorDataset(self.x, self.y), batch_size=size)

    def grow(self, epoch):
        self.loader = self.make(4 + epoch)

    def train(self):
        for epoch in range(4):
            self.grow(epoch)
            for a, b in self.loader:
                self.opt.zero_grad()
                loss = nn.functional.cross_entropy(self.net(a), b)
                loss.backward()
                self.opt.step()
            print("R:", epoch, loss.item())


if __name__ == "__main__":
    torch.manual_seed(0)
    Solver().train()
