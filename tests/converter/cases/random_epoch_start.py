import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(3):
    # the same order and the same noise whenever this epoch is trained
    torch.manual_seed(100 + epoch)
    noise = 0.1 * torch.randn(4)
    total = 0.0
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs + noise), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"R: {epoch} {total / len(loader):.4f}")
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitRandomEpochStart(LightningModule):
    def __init__(self, loader):
        super().__init__()
        self.loader = loader
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))

    def train_dataloader(self):
        epoch = self.current_epoch
        # the same order and the same noise whenever this epoch is trained
        torch.manual_seed(100 + epoch)
        self.noise = 0.1 * torch.randn(4)
        return self.loader

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs + self.noise), labels)
        self.log("total", loss, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        total = self.trainer.callback_metrics["total"].item()
        self.print(f"R: {epoch} {total:.4f}")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = LitRandomEpochStart(loader)
    trainer = Trainer(max_epochs=3, reload_dataloaders_every_n_epochs=1)
    trainer.fit(model)


if __name__ == "__main__":
    main()
