import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
net = nn.Linear(4, 3)
opt = torch.optim.SGD(net.parameters(), lr=0.1)


def train():
    net.train()
    at = 0
    while at < len(x):
        # a window of random length
        size = int(torch.randint(4, 9, ()))
        inputs, labels = x[at : at + size], y[at : at + size]
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        opt.step()
        at += size


for epoch in range(3):
    train()
    print("epoch", epoch, net.weight.sum().item())
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
import itertools
from litify import LightningModule, Trainer


class LitWhileInEpoch(LightningModule):
    def __init__(self, x, y):
        super().__init__()
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)
        self.net = nn.Linear(4, 3)

    def on_train_epoch_start(self):
        self.at = 0

    def on_train_batch_start(self, batch, batch_idx):
        return None if self.at < len(self.x) else -1

    def training_step(self, batch, batch_idx):
        # a window of random length
        size = int(torch.randint(4, 9, (), device=self.device))
        inputs, labels = self.x[self.at : self.at + size], self.y[self.at : self.at + size]
        loss = F.cross_entropy(self.net(inputs), labels)
        self.at += size
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.print("epoch", epoch, self.net.weight.sum().item())

    def configure_optimizers(self):
        opt = torch.optim.SGD(self.net.parameters(), lr=0.1)
        return opt


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    model = LitWhileInEpoch(x, y)

    trainer = Trainer(max_epochs=3)
    trainer.fit(model, itertools.count())


if __name__ == "__main__":
    main()
