# A header that stays.

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

# -- data --------------------------------------------
torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
# the network
net = nn.Linear(4, 3)  # linear on purpose
# how it is trained
opt = torch.optim.Adam(net.parameters())

# the loop
for epoch in range(3):  # few epochs
    # before the batches
    torch.set_printoptions(precision=4)
    for inputs, labels in loader:  # one batch
        # out with the old gradients
        opt.zero_grad()
        # forward
        out = net(inputs)  # logits
        loss = F.cross_entropy(out, labels)
        # backward
        loss.backward()
        opt.step()  # here it happens
    # the epoch is over
    print(epoch)  # shown
# after training
print("done")
# output
# A header that stays.

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitCommentsKept(LightningModule):
    def __init__(self):
        super().__init__()
        # the network
        self.net = nn.Linear(4, 3)  # linear on purpose

    def on_train_epoch_start(self):
        # before the batches
        torch.set_printoptions(precision=4)

    def training_step(self, batch, batch_idx):
        # one batch
        inputs, labels = batch
        # forward
        out = self.net(inputs)  # logits
        loss = F.cross_entropy(out, labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        # the epoch is over
        self.print(epoch)  # shown

    def configure_optimizers(self):
        # how it is trained
        opt = torch.optim.Adam(self.net.parameters())
        return opt


def main():
    # -- data --------------------------------------------
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitCommentsKept()

    # the loop
    # few epochs
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)
    # after training
    print("done")


if __name__ == "__main__":
    main()
