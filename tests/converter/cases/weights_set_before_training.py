import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--start", type=str, default="", help="weights to start from")
opt = parser.parse_args()


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)


torch.manual_seed(0)
cuda = True if torch.cuda.is_available() else False
criterion = nn.MSELoss()
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
if cuda:
    model = model.cuda()
    criterion.cuda()

if opt.start:
    # Go on from other weights
    model.load_state_dict(torch.load(opt.start, weights_only=True))
else:
    model.apply(init_weights)

optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
inputs = torch.arange(128.0).reshape(32, 4) / 128
loader = DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=8)
scale = 0.5


def penalty(network):
    return scale * sum(p.abs().sum() for p in network.parameters())


scale = 0.25
for epoch in range(opt.epochs):
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y) + 0.01 * penalty(model)
        loss.backward()
        optimizer.step()
    print(f"{epoch}: {loss.item():.4f}")
# output
import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningDataModule, LightningModule, Trainer


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)


class LitWeightsSetBeforeTraining(LightningModule):
    def __init__(self, start: str, scale):
        super().__init__()
        self.save_hyperparameters(ignore=["scale"])
        self.scale = scale
        self.criterion = nn.MSELoss()
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

        if start:
            # Go on from other weights
            self.model.load_state_dict(torch.load(start, weights_only=True))
        else:
            self.model.apply(init_weights)

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.loss = self.criterion(self.model(x), y) + 0.01 * self.penalty(self.model)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.print(f"{epoch}: {self.loss.item():.4f}")

    def penalty(self, network):
        return self.scale * sum(p.abs().sum() for p in network.parameters())

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        return optimizer


class WeightsSetBeforeTrainingData(LightningDataModule):
    def setup(self, stage):
        self.inputs = torch.arange(128.0).reshape(32, 4) / 128

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.inputs, self.inputs.sum(1, keepdim=True)), batch_size=8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--start", type=str, default="", help="weights to start from")
    opt = parser.parse_args()

    torch.manual_seed(0)
    scale = 0.5

    scale = 0.25
    model = LitWeightsSetBeforeTraining(opt.start, scale)
    data = WeightsSetBeforeTrainingData()
    trainer = Trainer(max_epochs=opt.epochs)
    trainer.fit(model, data)


if __name__ == "__main__":
    main()
