import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, device=None):
        super().__init__()
        self.fc = nn.Linear(4, 1)
        self.device = device

    def forward(self, x):
        return self.fc(x) + torch.zeros(1, device=self.device)


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
loader = DataLoader(data, batch_size=8)
model = Net(device).to(device)
criterion = nn.MSELoss().to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
# output
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class Net(nn.Module):
    def __init__(self, device=None):
        super().__init__()
        self.fc = nn.Linear(4, 1)
        self.device = device

    def forward(self, x):
        return self.fc(x) + torch.zeros(1, device=self.device)


class LitNet(LightningModule):
    def __init__(self, criterion, model, optimizer):
        super().__init__()
        self.criterion = criterion
        self.model = model
        self.optimizer = optimizer

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.criterion(self.model(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return self.optimizer


def main():
    trainer = Trainer(max_epochs=3)
    device = trainer.strategy.root_device
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    loader = DataLoader(data, batch_size=8)
    model = Net(device).to(device)
    criterion = nn.MSELoss().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lit_model = LitNet(criterion, model, optimizer)
    trainer.fit(lit_model, loader)


if __name__ == "__main__":
    main()
