import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


torch.manual_seed(0)
loader = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1), torch.randn(32, 2)), batch_size=8)
net = nn.Linear(4, 3)
opt = torch.optim.Adam(net.parameters())
for epoch in range(3):
    for x, *targets in loader:
        first, (second, *rest) = targets[0], [targets[1]]
        out = net(x)
        a = b = out[:, :1]
        loss_a, loss_b = F.mse_loss(a, first), F.mse_loss(out[:, 1:], second)
        loss = loss_a + loss_b
        opt.zero_grad()
        loss.backward()
        opt.step()
    print(loss_a.item(), loss_b.item(), b.shape)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitSeveralTargets(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        x, *targets = batch
        first, (second, *rest) = targets[0], [targets[1]]
        out = self.net(x)
        a = self.b = out[:, :1]
        self.loss_a, self.loss_b = F.mse_loss(a, first), F.mse_loss(out[:, 1:], second)
        loss = self.loss_a + self.loss_b
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        self.print(self.loss_a.item(), self.loss_b.item(), self.b.shape)

    def configure_optimizers(self):
        opt = torch.optim.Adam(self.net.parameters())
        return opt


def main():
    torch.manual_seed(0)
    loader = DataLoader(
        TensorDataset(torch.randn(32, 4), torch.randn(32, 1), torch.randn(32, 2)), batch_size=8
    )
    model = LitSeveralTargets()
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
