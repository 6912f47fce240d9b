import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def main(lr):
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    net = nn.Linear(4, 3)
    opt = torch.optim.Adam(net.parameters(), lr=lr)
    if lr <= 0:
        return None
    for epoch in range(3):
        for inputs, labels in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            opt.step()
    return net, loss.item()


if __name__ == "__main__":
    net, loss = main(0.1)
    print(loss)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitMainWithReturn(LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr = lr
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def configure_optimizers(self):
        opt = torch.optim.Adam(self.net.parameters(), lr=self.lr)
        return opt


def main(lr):
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = LitMainWithReturn(lr)
    if lr <= 0:
        return None
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)
    loss = model.loss
    return model.net, loss.item()


if __name__ == "__main__":
    net, loss = main(0.1)
    print(loss)
