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
try:
    for epoch in range(3):
        for inputs, labels in loader:
            opt.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            opt.step()
except KeyboardInterrupt:
    print("stopped early")
print("saving")
torch.save(net.state_dict(), "net.pt")
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitKeyboardInterrupt(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs), labels)
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
    model = LitKeyboardInterrupt()
    try:
        trainer = Trainer(max_epochs=3)
        trainer.fit(model, loader)
    except (KeyboardInterrupt, SystemExit):
        print("stopped early")
    print("saving")
    torch.save(model.net.state_dict(), "net.pt")


if __name__ == "__main__":
    main()
