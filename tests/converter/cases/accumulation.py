import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3)
opt = torch.optim.Adam(net.parameters())
steps = 2
opt.zero_grad()
for epoch in range(3):
    for i, (inputs, labels) in enumerate(loader):
        loss = F.cross_entropy(net(inputs), labels) / steps
        loss.backward()
        if (i + 1) % steps == 0:
            opt.step()
            opt.zero_grad()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer

steps = 2


class LitAccumulation(LightningModule):
    def __init__(self, net, opt):
        super().__init__()
        self.automatic_optimization = False
        self.net = net
        self.opt = opt

    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels) / steps
        self.manual_backward(loss)
        if (batch_idx + 1) % steps == 0:
            opt.step()
            opt.zero_grad()

    def configure_optimizers(self):
        return self.opt


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    net = nn.Linear(4, 3)
    opt = torch.optim.Adam(net.parameters())
    opt.zero_grad()
    model = LitAccumulation(net, opt)
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
