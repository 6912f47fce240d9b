import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from torch.autograd import Variable

use_cuda = torch.cuda.is_available()
torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
net = nn.Linear(4, 3)
criterion = nn.CrossEntropyLoss()
if use_cuda:
    net.cuda()
    criterion = criterion.cuda()
opt = torch.optim.Adam(net.parameters())
for epoch in range(3):
    for inputs, labels in loader:
        if use_cuda:
            inputs, labels = inputs.cuda(), labels.cuda()
        inputs, labels = Variable(inputs), Variable(labels)
        opt.zero_grad()
        loss = criterion(net(inputs), labels)
        loss.backward()
        opt.step()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitUseCudaBranches(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = self.criterion(self.net(inputs), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        opt = torch.optim.Adam(self.net.parameters())
        return opt


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitUseCudaBranches()
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
