import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def test(net, loader):
    total = 0.0
    with torch.no_grad():
        for inputs, labels in loader:
            total += F.cross_entropy(net(inputs), labels).item()
    print("test loss", total / len(loader))


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

for epoch in range(3):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
    test(net, test_loader)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningDataModule, LightningModule, Trainer


def test(net, loader):
    total = 0.0
    with torch.no_grad():
        for inputs, labels in loader:
            total += F.cross_entropy(net(inputs), labels).item()
    print("test loss", total / len(loader))


class LitEvaluationWithoutEval(LightningModule):
    def __init__(self, test_loader):
        super().__init__()
        self.test_loader = test_loader
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        test(self.net, self.test_loader)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        return optimizer


class EvaluationWithoutEvalData(LightningDataModule):
    def __init__(self, x, y):
        super().__init__()
        self.x = x
        self.y = y

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.x, self.y), batch_size=8, shuffle=True)


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitEvaluationWithoutEval(test_loader)

    data = EvaluationWithoutEvalData(x, y)
    trainer = Trainer(max_epochs=3, accelerator="cpu")
    trainer.fit(model, data)


if __name__ == "__main__":
    main()
