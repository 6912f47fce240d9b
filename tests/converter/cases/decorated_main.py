import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import functools


def announced(function):
    @functools.wraps(function)
    def run(*args):
        print("start")
        return function(*args)

    return run


@announced
def main(epochs):
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    net = nn.Linear(4, 3)
    opt = torch.optim.Adam(net.parameters())
    for epoch in range(epochs):
        for inputs, labels in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            opt.step()


main(3)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import functools
from litify import LightningModule, Trainer


def announced(function):
    @functools.wraps(function)
    def run(*args):
        print("start")
        return function(*args)

    return run


class LitDecoratedMain(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        opt = torch.optim.Adam(self.net.parameters())
        return opt


@announced
def main(epochs):
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = LitDecoratedMain()
    trainer = Trainer(max_epochs=epochs)
    trainer.fit(model, loader)


main(3)
