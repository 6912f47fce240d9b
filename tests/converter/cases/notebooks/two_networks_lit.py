import torch
from torch import nn
import torch.nn.functional as F
from litify import LightningModule, Trainer


class LitNet(LightningModule):
    def __init__(self, net, optimizer, x, y):
        super().__init__()
        self.net = net
        self.optimizer = optimizer
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)

    def training_step(self, batch, batch_idx):
        self.loss = F.cross_entropy(self.net(self.x), self.y)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def configure_optimizers(self):
        return self.optimizer


class LitWide(LightningModule):
    def __init__(self, loss, optimizer, wide, x, y):
        super().__init__()
        self.loss = loss
        self.optimizer = optimizer
        self.wide = wide
        self.x = x
        self.y = y

    def training_step(self, batch, batch_idx):
        self.loss = F.cross_entropy(self.wide(self.x), self.y)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def configure_optimizers(self):
        return self.optimizer


def main():
    torch.manual_seed(1)
    x = torch.randn(32, 4)
    y = (x.sum(1) > 0).long()

    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    # the first network
    model = LitNet(net, optimizer, x, y)
    trainer = Trainer(max_epochs=1)
    trainer.fit(model, range(10))
    loss = model.loss
    print("first", loss.item())

    wide = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.1)

    # the second one, under the names of the first
    lit_model = LitWide(loss, optimizer, wide, x, y)
    lit_trainer = Trainer(max_epochs=1, accelerator="cpu")
    lit_trainer.fit(lit_model, range(10))
    loss = lit_model.loss
    print("second", loss.item())

    (net(x).argmax(1) == wide(x).argmax(1)).float().mean()


if __name__ == "__main__":
    main()
