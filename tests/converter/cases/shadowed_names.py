import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def main():
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    scale = 2.0
    losses = []
    net = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(net.parameters())
    for epoch in range(3):
        for inputs, labels in loader:
            optimizer.zero_grad()
            parts = [scale * p for scale in (1, 2) for p in [scale]]
            bigger = (lambda scale: scale + 1)(3)

            def doubled(losses):
                return [loss for loss in losses]

            loss = scale * F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(len(doubled(losses)), parts, bigger, {scale: scale for scale in range(2)})
    print(min(losses))


main()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitShadowedNames(LightningModule):
    def __init__(self, scale):
        super().__init__()
        self.automatic_optimization = False
        self.scale = scale
        self.net = nn.Linear(4, 3)
        self.losses = []

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        inputs, labels = batch
        optimizer.zero_grad()
        self.parts = [scale * p for scale in (1, 2) for p in [scale]]
        self.bigger = (lambda scale: scale + 1)(3)

        def doubled(losses):
            return [loss for loss in losses]

        self.doubled = doubled

        loss = self.scale * F.cross_entropy(self.net(inputs), labels)
        self.manual_backward(loss)
        optimizer.step()
        self.losses.append(loss.item())

    def on_train_epoch_end(self):
        self.print(
            len(self.doubled(self.losses)), self.parts, self.bigger, {scale: scale for scale in range(2)}
        )

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    scale = 2.0
    model = LitShadowedNames(scale)
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)
    print(min(model.losses))


main()
