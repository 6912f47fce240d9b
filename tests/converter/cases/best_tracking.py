import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def evaluate(net, loader):
    net.eval()
    total = 0.0
    with torch.no_grad():
        for inputs, labels in loader:
            total += F.cross_entropy(net(inputs), labels).item()
    return total / len(loader)


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    best, bad_epochs = float("inf"), 0
    for epoch in range(20):
        net.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
        val_loss = evaluate(net, test_loader)
        if val_loss < best:
            best, bad_epochs = val_loss, 0
            torch.save(net.state_dict(), "best.pt")
        else:
            bad_epochs += 1
            if bad_epochs == 3:
                print("no progress, stopping")
                break
    print("best validation loss", best)


if __name__ == "__main__":
    main()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitBestTracking(LightningModule):
    def __init__(self, bad_epochs, best):
        super().__init__()
        self.bad_epochs = bad_epochs
        self.best = best
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        inputs, labels = batch
        self.log("total", F.cross_entropy(self.net(inputs), labels), batch_size=1, sync_dist=True)

    def on_validation_epoch_end(self):
        total = self.trainer.callback_metrics["total"].item()
        self.val_loss = total

    def on_train_epoch_end(self):
        if self.val_loss < self.best:
            self.best, self.bad_epochs = self.val_loss, 0
            if self.trainer.is_global_zero:
                torch.save(self.net.state_dict(), "best.pt")
        else:
            self.bad_epochs += 1
            if self.bad_epochs == 3:
                self.print("no progress, stopping")
                self.trainer.should_stop = True
                return

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    best, bad_epochs = float("inf"), 0
    model = LitBestTracking(bad_epochs, best)
    trainer = Trainer(max_epochs=20, num_sanity_val_steps=0)
    trainer.fit(model, loader, test_loader)
    best = model.best
    print("best validation loss", best)


if __name__ == "__main__":
    main()
