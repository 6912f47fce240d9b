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
    for (left, labels), (right, _) in zip(loader, test_loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(left) + net(right), labels)
        loss.backward()
        optimizer.step()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import CombinedLoader, LightningModule, Trainer


class LitZippedLoaders(LightningModule):
    def __init__(self, loader, test_loader):
        super().__init__()
        self.loader = loader
        self.test_loader = test_loader
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        (left, labels), (right, _) = batch
        loss = F.cross_entropy(self.net(left) + self.net(right), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def train_dataloader(self):
        return CombinedLoader([self.loader, self.test_loader], "min_size")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitZippedLoaders(loader, test_loader)

    trainer = Trainer(max_epochs=3)
    trainer.fit(model)


if __name__ == "__main__":
    main()
