import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


x = torch.linspace(-1, 1, 100).unsqueeze(1)
y = x.pow(2)
net = nn.Sequential(nn.Linear(1, 10), nn.ReLU(), nn.Linear(10, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
loss_func = nn.MSELoss()

for t in range(50):
    prediction = net(x)
    loss = loss_func(prediction, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if t % 10 == 0:
        print(t, loss.item())
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitRegressionOverIterations(LightningModule):
    def __init__(self, x, y):
        super().__init__()
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)
        self.net = nn.Sequential(nn.Linear(1, 10), nn.ReLU(), nn.Linear(10, 1))
        self.loss_func = nn.MSELoss()

    def training_step(self, t, batch_idx):
        prediction = self.net(self.x)
        loss = self.loss_func(prediction, self.y)
        if t % 10 == 0:
            self.print(t, loss.item())
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.2)
        return optimizer


def main():
    x = torch.linspace(-1, 1, 100).unsqueeze(1)
    y = x.pow(2)
    model = LitRegressionOverIterations(x, y)

    trainer = Trainer(max_epochs=1)
    trainer.fit(model, range(50))


if __name__ == "__main__":
    main()
