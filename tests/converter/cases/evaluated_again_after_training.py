import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@torch.no_grad()
def evaluate(model, loader, device):
    model.eval()
    correct, total = 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        correct += (model(x).argmax(1) == y).sum().item()
        total += len(y)
    return correct / total


def main():
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = TensorDataset(torch.randn(48, 4), torch.randint(3, (48,)))
    train_loader = DataLoader(data, batch_size=8, shuffle=True)
    val_loader = DataLoader(data, batch_size=16)
    test_loader = DataLoader(data, batch_size=32)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    best = 0.0
    for epoch in range(3):
        model.train()
        for x, y in train_loader:
            loss = nn.functional.cross_entropy(model(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy = evaluate(model, val_loader, device)
        best = max(best, accuracy)
        print(f"epoch {epoch}: {accuracy:.3f}")
    print(f"best {best:.3f}, test {evaluate(model, test_loader, device):.3f}")


if __name__ == "__main__":
    main()
# output
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


@torch.no_grad()
def evaluate(model, loader, device):
    model.eval()
    correct = 0
    total = 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        correct += (model(x).argmax(1) == y).sum().item()
        total += len(y)
    return correct / total


class LitEvaluatedAgainAfterTraining(LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.best = 0.0

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self.model(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("correct", (self.model(x).argmax(1) == y).sum(), reduce_fx="sum", sync_dist=True)
        self.log("total", len(y), reduce_fx="sum", sync_dist=True)

    def on_validation_epoch_end(self):
        correct = int(self.trainer.callback_metrics["correct"])
        total = int(self.trainer.callback_metrics["total"])
        self.accuracy = correct / total
        self.log("accuracy", correct / total)

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.best = max(self.best, self.accuracy)
        self.print(f"epoch {epoch}: {self.accuracy:.3f}")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        return optimizer


def main():
    torch.manual_seed(0)
    trainer = Trainer(max_epochs=3, num_sanity_val_steps=0)
    device = trainer.strategy.root_device
    data = TensorDataset(torch.randn(48, 4), torch.randint(3, (48,)))
    train_loader = DataLoader(data, batch_size=8, shuffle=True)
    val_loader = DataLoader(data, batch_size=16)
    test_loader = DataLoader(data, batch_size=32)
    model = LitEvaluatedAgainAfterTraining()
    trainer.fit(model, train_loader, val_loader)
    model.to(device)
    model.model.eval()
    print(f"best {model.best:.3f}, test {evaluate(model.model, test_loader, device):.3f}")


if __name__ == "__main__":
    main()
