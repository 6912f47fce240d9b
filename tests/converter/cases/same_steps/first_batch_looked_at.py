import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Fitter:
    def __init__(self, net, data, optimizer):
        self.net = net
        self.data = data
        self.optimizer = optimizer

    def _run_epoch(self, epoch):
        size = len(next(iter(self.data))[0])
        print(f"R: epoch {epoch} batch size {size} batches {len(self.data)}")
        for inputs, labels in self.data:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.net(inputs), labels)
            loss.backward()
            self.optimizer.step()
        print(f"R: {loss.item():.4f}")

    def fit(self, epochs):
        for epoch in range(epochs):
            self._run_epoch(epoch)


torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
Fitter(net, loader, torch.optim.Adam(net.parameters(), lr=0.01)).fit(3)
