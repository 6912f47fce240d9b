import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(8, 3)
        self.history = []

    def forward(self, x):
        return self.out(self.drop(F.relu(self.hidden(x))))

    def fit(self, loader, epochs=5, lr=0.01):
        optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        for epoch in range(epochs):
            self.train()
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(self(inputs), labels)
                loss.backward()
                optimizer.step()
                # after the step: the weights are new
                self.history.append(self.out.bias[0].item())
            print(f"R: {epoch} {loss.item():.4f}")
        return self


torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
net = Net()
net.fit(DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True), epochs=3)
print("R:", net.eval()(x).sum().item(), sum(net.history))
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitNet(LightningModule):
    def __init__(self, optimizer, net):
        super().__init__()
        self.optimizer = optimizer
        self.net = net

    def on_train_epoch_start(self):
        self.net.train()

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def on_train_batch_end(self, outputs, batch, batch_idx):
        # after the step: the weights are new
        self.net.history.append(self.net.out.bias[0].item())

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.print(f"R: {epoch} {self.loss.item():.4f}")

    def configure_optimizers(self):
        return self.optimizer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(8, 3)
        self.history = []

    def forward(self, x):
        return self.out(self.drop(F.relu(self.hidden(x))))

    def fit(self, loader, epochs=5, lr=0.01):
        optimizer = torch.optim.Adam(self.parameters(), lr=lr)
        model = LitNet(optimizer, self)
        trainer = Trainer(max_epochs=epochs)
        trainer.fit(model, loader)
        return self


torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
net = Net()
net.fit(DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True), epochs=3)
print("R:", net.eval()(x).sum().item(), sum(net.history))
