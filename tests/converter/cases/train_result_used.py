import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def train(model, loader, optimizer):
    model.train()
    total, n = 0.0, 0
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(inputs)
        n += len(inputs)
    return total / n


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3)
opt = torch.optim.Adam(net.parameters())
history = []
for epoch in range(3):
    train_loss = train(net, loader, opt)
    history.append(train_loss)
    print(f"Epoch {epoch}: {train_loss:.4f}")
print(history)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitTrainResultUsed(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.history = []

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("total", loss * len(inputs), on_step=False, on_epoch=True, reduce_fx="sum", sync_dist=True)
        self.log("n", len(inputs), on_step=False, on_epoch=True, reduce_fx="sum", sync_dist=True)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        total = self.trainer.callback_metrics["total"].item()
        n = int(self.trainer.callback_metrics["n"])
        train_loss = total / n
        self.history.append(train_loss)
        self.print(f"Epoch {epoch}: {train_loss:.4f}")

    def configure_optimizers(self):
        opt = torch.optim.Adam(self.net.parameters())
        return opt


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitTrainResultUsed()
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)
    print(model.history)


if __name__ == "__main__":
    main()
