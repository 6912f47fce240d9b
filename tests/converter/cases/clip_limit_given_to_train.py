import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))


def train(net, batches, optimizer, criterion, clip):
    net.train()
    for features, labels in batches:
        optimizer.zero_grad()
        loss = criterion(net(features), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()


train_loader = DataLoader(TensorDataset(x, y), batch_size=8)
model = nn.Linear(3, 2)
optimizer = optim.Adam(model.parameters())
criterion = nn.CrossEntropyLoss()
CLIP = 0.1

for epoch in range(3):
    train(model, train_loader, optimizer, criterion, CLIP)
# output
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer

CLIP = 0.1


class LitClipLimitGivenToTrain(LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Linear(3, 2)
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        features, labels = batch
        loss = self.criterion(self.model(features), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        optimizer = optim.Adam(self.model.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))

    train_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitClipLimitGivenToTrain()

    trainer = Trainer(max_epochs=3, gradient_clip_val=CLIP)
    trainer.fit(model, train_loader)


if __name__ == "__main__":
    main()
