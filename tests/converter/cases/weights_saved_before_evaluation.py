import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
train_loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3)).to(device)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
best = 0
for epoch in range(3):
    net.train()
    for data in train_loader:
        inputs, labels = data
        inputs = inputs.to(device)
        labels = labels.to(device)
        opt.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        opt.step()
    torch.save(net.state_dict(), f"epoch_{epoch}.pth")

    net.eval()
    right = 0
    for data in test_loader:
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        with torch.no_grad():
            right += (net(inputs).argmax(1) == labels).sum().item()
    print("right", right)
    if right > best:
        best = right
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitWeightsSavedBeforeEvaluation(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
        self.best = 0

    def training_step(self, data, batch_idx):
        inputs, labels = data
        loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        self.right = 0

    def validation_step(self, data, batch_idx):
        inputs, labels = data
        self.right += (self.net(inputs).argmax(1) == labels).sum().item()

    def on_validation_epoch_end(self):
        self.print("right", self.right)

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        if self.trainer.is_global_zero:
            torch.save(self.net.state_dict(), f"epoch_{epoch}.pth")
        if self.right > self.best:
            self.best = self.right

    def configure_optimizers(self):
        opt = torch.optim.SGD(self.net.parameters(), lr=0.1)
        return opt


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    train_loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitWeightsSavedBeforeEvaluation()
    trainer = Trainer(max_epochs=3, num_sanity_val_steps=0)
    trainer.fit(model, train_loader, test_loader)


if __name__ == "__main__":
    main()
