import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def accuracy(net, loader):
    net.eval()
    correct = 0
    with torch.no_grad():
        for inputs, labels in loader:
            correct += (net(inputs).argmax(1) == labels).sum().item()
    return correct / len(loader.dataset)


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3)
opt = torch.optim.Adam(net.parameters())
for epoch in range(3):
    net.train()
    for inputs, labels in loader:
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        opt.step()
    print(accuracy(net, loader), accuracy(net, test_loader))
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningDataModule, LightningModule, Trainer


def accuracy(net, loader):
    net.eval()
    correct = 0
    with torch.no_grad():
        for inputs, labels in loader:
            correct += (net(inputs).argmax(1) == labels).sum().item()
    return correct / len(loader.dataset)


class LitEvaluationTwice(LightningModule):
    def __init__(self, test_loader):
        super().__init__()
        self.test_loader = test_loader
        self.net = nn.Linear(4, 3)

    def on_train_epoch_start(self):
        self.net.train()

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        self.print(accuracy(self.net, self.trainer.train_dataloader), accuracy(self.net, self.test_loader))

    def configure_optimizers(self):
        opt = torch.optim.Adam(self.net.parameters())
        return opt


class EvaluationTwiceData(LightningDataModule):
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
    model = LitEvaluationTwice(test_loader)
    data = EvaluationTwiceData(x, y)
    trainer = Trainer(max_epochs=3, accelerator="cpu")
    trainer.fit(model, data)


if __name__ == "__main__":
    main()
