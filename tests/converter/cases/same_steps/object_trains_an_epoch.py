import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Worker:
    def __init__(self, net, loader, lr=0.1):
        self.net = net
        self.loader = loader
        self.optimizer = torch.optim.Adam(net.parameters(), lr=lr)
        self.criterion = nn.CrossEntropyLoss()
        self.total = 0.0

    def train_epoch(self, epoch):
        self.net.train()
        total = 0.0
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.net(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.loader)

    def evaluate(self):
        self.net.eval()
        with torch.no_grad():
            return sum((self.net(x).argmax(1) == y).sum().item() for x, y in self.loader)


def main():
    torch.manual_seed(0)
    x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    worker = Worker(nn.Linear(3, 2), loader)
    for epoch in range(3):
        loss = worker.train_epoch(epoch)
        print("R:", epoch, loss, worker.evaluate())
    print("R:", worker.total, sum(p.sum().item() for p in worker.net.parameters()))


if __name__ == "__main__":
    main()
