import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


torch.manual_seed(0)
data = torch.randn(64, 4)
net = nn.Linear(4, 4)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
max_iters = 10
it = 0
while True:
    rows = torch.randint(0, len(data), (8,))
    loss = F.mse_loss(net(data[rows]), data[rows])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if it % 5 == 0:
        print(it, loss.item())
    it += 1
    if it > max_iters:
        break
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
import itertools
from litify import LightningModule, Trainer

max_iters = 10


class LitWhileTrue(LightningModule):
    def __init__(self, data):
        super().__init__()
        self.automatic_optimization = False
        self.register_buffer("data", data, persistent=False)
        self.net = nn.Linear(4, 4)
        self.it = 0

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        rows = torch.randint(0, len(self.data), (8,), device=self.device)
        loss = F.mse_loss(self.net(self.data[rows]), self.data[rows])
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        optimizer.step()
        if self.it % 5 == 0:
            self.print(self.it, loss.item())
        self.it += 1
        if self.it > max_iters:
            self.trainer.should_stop = True
            return

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-3)
        return optimizer


def main():
    torch.manual_seed(0)
    data = torch.randn(64, 4)
    model = LitWhileTrue(data)
    trainer = Trainer(max_epochs=1)
    trainer.fit(model, itertools.count())


if __name__ == "__main__":
    main()
