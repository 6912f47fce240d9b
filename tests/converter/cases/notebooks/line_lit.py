# %matplotlib inline
# !pip install torch matplotlib
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningDataModule, LightningModule, Trainer

# %%bash
# nvidia-smi || true


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)  # slope and intercept

    def forward(self, x):
        return self.linear(x)


class LitLine(LightningModule):
    def __init__(self, test_loader):
        super().__init__()
        self.test_loader = test_loader
        self.model = Line()
        self.loss_function = nn.MSELoss()

    def on_train_epoch_start(self):
        self.model.train()

    def training_step(self, batch, batch_idx):
        data, target = batch
        loss = self.loss_function(self.model(data), target)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.print(f"epoch {epoch}: {self.evaluate():.4f}")

    def evaluate(self):
        self.model.eval()
        total = 0.0
        with torch.no_grad():
            for data, target in self.test_loader:
                data, target = data.to(self.device), target.to(self.device)
                total += self.loss_function(self.model(data), target).item() * len(data)
        return total / len(self.test_loader.dataset)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        return optimizer


class LineData(LightningDataModule):
    def __init__(self, x, y):
        super().__init__()
        self.x = x
        self.y = y

    def setup(self, stage):
        self.train_set = TensorDataset(self.x[:48], self.y[:48])

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=16, shuffle=True)


def main():
    torch.manual_seed(0)
    x = torch.rand(64, 1)
    y = 3 * x + 0.1 * torch.randn(64, 1)
    test_set = TensorDataset(x[48:], y[48:])
    test_loader = DataLoader(test_set, batch_size=16)
    model = LitLine(test_loader)

    # %%time
    data_module = LineData(x, y)
    trainer = Trainer(max_epochs=5)
    trainer.fit(model, data_module)

    slope = model.model.linear.weight.item()

    plt.scatter(x, y)
    plt.plot([0, 1], [model.model.linear.bias.item(), model.model.linear.bias.item() + slope])
    plt.show()


if __name__ == "__main__":
    main()

# !ls
