import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)


def train(epoch):
    net.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()


for epoch in range(4):
    if epoch > 0:  # the untrained network first
        train(epoch)
    # then its error
    net.eval()
    with torch.no_grad():
        print(f"R: {epoch} {F.cross_entropy(net(x), y).item():.4f}")
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningDataModule, LightningModule, Trainer


class LitFirstEpochWithoutTraining(LightningModule):
    def __init__(self, x, y):
        super().__init__()
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))

    def on_train_epoch_start(self):
        self.net.train()

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch + 1
        # then its error
        self.net.eval()
        with torch.no_grad():
            self.print(f"R: {epoch} {F.cross_entropy(self.net(self.x), self.y).item():.4f}")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        return optimizer


class FirstEpochWithoutTrainingData(LightningDataModule):
    def __init__(self, x, y):
        super().__init__()
        self.x = x
        self.y = y

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.x, self.y), batch_size=8, shuffle=True)


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    model = LitFirstEpochWithoutTraining(x, y)

    epoch = 0
    # then its error
    model.net.eval()
    with torch.no_grad():
        print(f"R: {epoch} {F.cross_entropy(model.net(x), y).item():.4f}")
    data = FirstEpochWithoutTrainingData(x, y)
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, data)


if __name__ == "__main__":
    main()
