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

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
net = nn.Linear(4, 3)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)


@torch.no_grad()
def test():
    net.eval()
    return (net(x).argmax(1) == y).float().mean().item()


class LitFullBatch(LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, batch_idx):
        self.net.train()
        loss = F.cross_entropy(self.net(x), y)
        self.loss = loss.item()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch + 1
        accuracy = test()
        self.print(f"Epoch: {epoch:03d}, Loss: {self.loss:.4f}, Acc: {accuracy:.4f}")

    def configure_optimizers(self):
        return optimizer


model = LitFullBatch(net)
trainer = Trainer(max_epochs=5)
trainer.fit(model, range(1))
