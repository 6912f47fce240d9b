import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def main():
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    net = nn.Linear(4, 3).to(device)
    optimizer = torch.optim.Adam(net.parameters())
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda")
    for epoch in range(3):
        for inputs, labels in loader:
            inputs, labels = inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device_type=device.type, enabled=device.type == "cuda"):
                loss = F.cross_entropy(net(inputs), labels)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()


if __name__ == "__main__":
    main()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitGradScaler(LightningModule):
    def __init__(self, scaler):
        super().__init__()
        self.automatic_optimization = False
        self.scaler = scaler
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        inputs, labels = batch
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device_type=self.device.type, enabled=self.device.type == "cuda"):
            loss = F.cross_entropy(self.net(inputs), labels)
        self.manual_backward(self.scaler.scale(loss))
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.scaler.step(optimizer)
        self.scaler.update()

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    torch.manual_seed(0)
    trainer = Trainer(max_epochs=3)
    device = trainer.strategy.root_device
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    scaler = torch.amp.GradScaler(enabled=device.type == "cuda")
    model = LitGradScaler(scaler)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
