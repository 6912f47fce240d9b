import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
data = TensorDataset(x, y)
scores = []
step = 0
for fold in range(3):
    print(f"R: fold {fold}")
    held_out = set(range(fold * 10, fold * 10 + 10))
    loader = DataLoader(Subset(data, [i for i in range(30) if i not in held_out]), batch_size=8, shuffle=True)
    # a network of its own for each fold
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for epoch in range(2):
        net.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            step += 1
    net.eval()
    with torch.no_grad():
        scores.append((net(x).argmax(1) == y).float().mean().item())
    print(f"R: {loss.item():.4f} after {step} steps")
print("R:", sum(scores) / len(scores))
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset
from litify import LightningModule, Trainer


class LitFolds(LightningModule):
    def __init__(self, net, optimizer, step):
        super().__init__()
        self.net = net
        self.optimizer = optimizer
        self.step = step

    def on_train_epoch_start(self):
        self.net.train()

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.loss = F.cross_entropy(self.net(inputs), labels)
        self.step += 1
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def configure_optimizers(self):
        return self.optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    data = TensorDataset(x, y)
    scores = []
    step = 0
    for fold in range(3):
        print(f"R: fold {fold}")
        held_out = set(range(fold * 10, fold * 10 + 10))
        loader = DataLoader(
            Subset(data, [i for i in range(30) if i not in held_out]), batch_size=8, shuffle=True
        )
        # a network of its own for each fold
        net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        model = LitFolds(net, optimizer, step)
        trainer = Trainer(max_epochs=2)
        trainer.fit(model, loader)
        loss = model.loss
        step = model.step
        net.eval()
        with torch.no_grad():
            scores.append((net(x).argmax(1) == y).float().mean().item())
        print(f"R: {loss.item():.4f} after {step} steps")
    print("R:", sum(scores) / len(scores))


if __name__ == "__main__":
    main()
