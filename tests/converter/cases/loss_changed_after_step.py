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
    total = 0.0
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        loss *= len(inputs)  # for the sum below
        total += loss.item()
    print(epoch, total / len(loader.dataset))
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitLossChangedAfterStep(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        train_loss = loss
        loss = loss * len(inputs)
        self.log(
            "total", loss / len(inputs), on_step=False, on_epoch=True, batch_size=len(inputs), sync_dist=True
        )
        self.log("train_loss", train_loss, prog_bar=True)
        return train_loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        total = self.trainer.callback_metrics["total"].item()
        self.print(epoch, total)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitLossChangedAfterStep()

    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
