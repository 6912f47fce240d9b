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
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        if loss.item() < 1.0:
            break
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitBreakThatDependsOnTheBatch(LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Linear(4, 3)

    def on_train_epoch_start(self):
        self.epoch_is_over = False

    def on_train_batch_start(self, batch, batch_idx):
        return -1 if self.epoch_is_over else None

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        inputs, labels = batch
        optimizer.zero_grad()
        loss = F.cross_entropy(self.net(inputs), labels)
        self.manual_backward(loss)
        optimizer.step()
        if loss.item() < 1.0:
            self.epoch_is_over = True
            return

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitBreakThatDependsOnTheBatch()

    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
