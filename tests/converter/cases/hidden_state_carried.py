import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x, hidden):
        out, hidden = self.rnn(x, hidden)
        return self.head(out), hidden


def train(model, batches, optimizer, epoch):
    model.train()
    hidden = torch.zeros(1, 1, 8)
    total = 0.0
    for inputs, labels in batches:
        hidden = hidden.detach()
        output, hidden = model(inputs.unsqueeze(1), hidden)
        loss = F.cross_entropy(output.squeeze(1), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        total += loss.item()
    print(epoch, total / len(batches))


torch.manual_seed(0)
x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
model = Net()
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(1, 4):
    train(model, loader, optimizer, epoch)
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x, hidden):
        out, hidden = self.rnn(x, hidden)
        return self.head(out), hidden


class LitNet(LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Net()

    def on_train_epoch_start(self):
        self.hidden = torch.zeros(1, 1, 8, device=self.device)

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.hidden = self.hidden.detach()
        output, self.hidden = self.model(inputs.unsqueeze(1), self.hidden)
        loss = F.cross_entropy(output.squeeze(1), labels)
        self.log("total", loss, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch + 1
        total = self.trainer.callback_metrics["total"].item()
        self.print(epoch, total)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.model.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitNet()
    trainer = Trainer(max_epochs=3, gradient_clip_val=0.25)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
