import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


torch.manual_seed(0)
x = torch.randn(20, 3)
y = x.sum(1, keepdim=True)
net = nn.Linear(3, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.8)
for i in range(4):
    print("STEP", i)

    def closure():
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        print("loss:", loss.item())
        loss.backward()
        return loss

    optimizer.step(closure)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitLbfgsClosure(LightningModule):
    def __init__(self, criterion, net, optimizer, x, y):
        super().__init__()
        self.automatic_optimization = False
        self.criterion = criterion
        self.net = net
        self.optimizer = optimizer
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)

    def training_step(self, i, batch_idx):
        optimizer = self.optimizers()
        self.print("STEP", i)

        def closure():
            optimizer.zero_grad()
            loss = self.criterion(self.net(self.x), self.y)
            self.print("loss:", loss.item())
            self.manual_backward(loss)
            return loss

        optimizer.step(closure)

    def configure_optimizers(self):
        return self.optimizer


def main():
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    y = x.sum(1, keepdim=True)
    net = nn.Linear(3, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.8)
    model = LitLbfgsClosure(criterion, net, optimizer, x, y)
    trainer = Trainer(max_epochs=1)
    trainer.fit(model, range(4))


if __name__ == "__main__":
    main()
