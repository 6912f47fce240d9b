import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
net = nn.Linear(4, 3)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)


def train():
    net.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def test():
    net.eval()
    return (net(x).argmax(1) == y).float().mean().item()


for epoch in range(1, 6):
    loss = train()
    accuracy = test()
    print(f"Epoch: {epoch:03d}, Loss: {loss:.4f}, Acc: {accuracy:.4f}")
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitFullBatch(LightningModule):
    def __init__(self, x, y):
        super().__init__()
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.net(self.x), self.y)
        self.loss = loss.detach()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        epoch = self.current_epoch + 1
        self.loss = float(self.loss)
        accuracy = (self.net(self.x).argmax(1) == self.y).float().mean().item()
        self.print(f"Epoch: {epoch:03d}, Loss: {self.loss:.4f}, Acc: {accuracy:.4f}")
        self.log("accuracy", accuracy, batch_size=1)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01, weight_decay=5e-4)
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    model = LitFullBatch(x, y)

    trainer = Trainer(max_epochs=5, num_sanity_val_steps=0)
    trainer.fit(model, range(1), range(1))


if __name__ == "__main__":
    main()
