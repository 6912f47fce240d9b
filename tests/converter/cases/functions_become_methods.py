import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
train_loader = DataLoader(data, batch_size=8)
val_loader = DataLoader(data, batch_size=16)
test_loader = DataLoader(data, batch_size=32)

model, scale = nn.Linear(4, 1).to(device), torch.ones(1).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def loss_of(x, y):
    return nn.functional.mse_loss(scale * model(x), y)


def train():
    model.train()
    for x, y in train_loader:
        loss = loss_of(x.to(device), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# Called for several loaders.
@torch.no_grad()
def test(loader):
    model.eval()
    losses = [loss_of(x.to(device), y.to(device)) for x, y in loader]
    return torch.stack(losses).mean().item()


best_val = final_test = float("inf")
for epoch in range(1, 4):
    train()
    val = test(val_loader)
    if val < best_val:
        best_val = val
        final_test = test(test_loader)
    print(f"epoch {epoch}: {val:.4f}")
print(f"best {best_val:.4f}, {final_test:.4f}, now {test(test_loader):.4f}")
# output
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitFunctionsBecomeMethods(LightningModule):
    def __init__(self, scale, test_loader, val_loader):
        super().__init__()
        self.register_buffer("scale", scale, persistent=False)
        self.test_loader = test_loader
        self.val_loader = val_loader

        self.model = nn.Linear(4, 1)
        self.best_val = self.final_test = float("inf")

    def on_train_epoch_start(self):
        self.model.train()

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.loss_of(x, y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch + 1
        val = self.test(self.val_loader)
        if val < self.best_val:
            self.best_val = val
            self.final_test = self.test(self.test_loader)
        self.print(f"epoch {epoch}: {val:.4f}")

    def loss_of(self, x, y):
        return nn.functional.mse_loss(self.scale * self.model(x), y)

    # Called for several loaders.
    @torch.no_grad()
    def test(self, loader):
        self.model.eval()
        losses = [self.loss_of(x.to(self.device), y.to(self.device)) for x, y in loader]
        return torch.stack(losses).mean().item()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        return optimizer


def main():
    torch.manual_seed(0)
    trainer = Trainer(max_epochs=3)
    device = trainer.strategy.root_device
    data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    train_loader = DataLoader(data, batch_size=8)
    val_loader = DataLoader(data, batch_size=16)
    test_loader = DataLoader(data, batch_size=32)
    scale = torch.ones(1).to(device)

    model = LitFunctionsBecomeMethods(scale, test_loader, val_loader)
    trainer.fit(model, train_loader)
    model.to(device)
    print(f"best {model.best_val:.4f}, {model.final_test:.4f}, now {model.test(test_loader):.4f}")


if __name__ == "__main__":
    main()
