import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def main(epochs=3, width=8):
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    step = 0
    best = {"loss": 10.0}
    net = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3))
    optimizer = torch.optim.Adam(net.parameters())
    for epoch in range(epochs):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            step += 1
        best["loss"] = min(best["loss"], loss.item())
        print(f"{epoch=} {step:>5d} {loss.item():.{width // 4}f} {best['loss']!r:>8}")
        print("%d of %d" % (step, epochs * len(loader)), "{step} is not a name here")


main()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitFstrings(LightningModule):
    def __init__(self, best, epochs, width):
        super().__init__()
        self.best = best
        self.epochs = epochs
        self.width = width
        self.net = nn.Sequential(nn.Linear(4, self.width), nn.Linear(self.width, 3))
        self.step = 0

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.loss = F.cross_entropy(self.net(inputs), labels)
        self.step += 1
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.best["loss"] = min(self.best["loss"], self.loss.item())
        self.print(
            f"{epoch=} {self.step:>5d} {self.loss.item():.{self.width // 4}f} {self.best['loss']!r:>8}"
        )
        self.print(
            "%d of %d" % (self.step, self.epochs * len(self.trainer.train_dataloader)),
            "{step} is not a name here",
        )

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main(epochs=3, width=8):
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    best = {"loss": 10.0}
    model = LitFstrings(best, epochs, width)
    trainer = Trainer(max_epochs=epochs, accelerator="cpu")
    trainer.fit(model, loader)


main()
