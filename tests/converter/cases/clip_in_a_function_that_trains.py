import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def fit(model, optimizer, loader, epochs):
    for epoch in range(epochs):
        for features, labels in loader:
            model.zero_grad()
            loss = nn.functional.cross_entropy(model(features), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    return model


def main():
    torch.manual_seed(0)
    x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))
    net = nn.Linear(3, 2)
    other = nn.Linear(2, 2)
    adam = torch.optim.Adam(params=net.parameters(), lr=0.01)
    net = fit(net, adam, DataLoader(TensorDataset(x, y), batch_size=8), 3)
    print(sum(p.numel() for p in other.parameters()))


main()
# output
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitClipInAFunctionThatTrains(LightningModule):
    def __init__(self, model, optimizer):
        super().__init__()
        self.model = model
        self.optimizer = optimizer

    def training_step(self, batch, batch_idx):
        features, labels = batch
        loss = nn.functional.cross_entropy(self.model(features), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return self.optimizer


def fit(model, optimizer, loader, epochs):
    lit_model = LitClipInAFunctionThatTrains(model, optimizer)
    trainer = Trainer(max_epochs=epochs, gradient_clip_val=0.1)
    trainer.fit(lit_model, loader)
    return model


def main():
    torch.manual_seed(0)
    x, y = torch.randn(24, 3), torch.randint(0, 2, (24,))
    net = nn.Linear(3, 2)
    other = nn.Linear(2, 2)
    adam = torch.optim.Adam(params=net.parameters(), lr=0.01)
    net = fit(net, adam, DataLoader(TensorDataset(x, y), batch_size=8), 3)
    print(sum(p.numel() for p in other.parameters()))


main()
