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
    running, correct, seen = 0.0, 0, 0
    for inputs, labels in loader:
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = F.cross_entropy(outputs, labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
        correct += (outputs.argmax(1) == labels).sum().item()
        seen += labels.size(0)
    print(epoch, running / 100, f"{100 * correct / seen:.1f} %")
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitSumsWithOtherDivisors(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def on_train_epoch_start(self):
        self.running, self.correct, self.seen = 0.0, 0, 0

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        outputs = self.net(inputs)
        loss = F.cross_entropy(outputs, labels)
        self.running += loss.detach()
        self.correct += (outputs.argmax(1) == labels).sum().detach()
        self.seen += labels.size(0)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.running = float(self.running)
        self.correct = int(self.correct)
        self.print(epoch, self.running / 100, f"{100 * self.correct / self.seen:.1f} %")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitSumsWithOtherDivisors()

    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
