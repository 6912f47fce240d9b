import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3)
optimizer = torch.optim.Adam(net.parameters())

for epoch in range(3):
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(loader, 0):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 2 == 1:  # every 2 mini-batches
            print(f"[{epoch + 1}, {i + 1}] loss: {running_loss / 2:.3f}")
            running_loss = 0.0
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitRunningLossResetEveryK(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def on_train_epoch_start(self):
        self.running_loss = 0.0

    def training_step(self, batch, batch_idx):
        epoch = self.current_epoch
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.running_loss += loss.item()
        if batch_idx % 2 == 1:  # every 2 mini-batches
            self.print(f"[{epoch + 1}, {batch_idx + 1}] loss: {self.running_loss / 2:.3f}")
            self.running_loss = 0.0
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitRunningLossResetEveryK()

    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
