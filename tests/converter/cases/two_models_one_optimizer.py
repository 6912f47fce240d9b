import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import itertools

torch.manual_seed(0)
loader = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8, shuffle=True)
encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
params = list(encoder.parameters()) + list(decoder.parameters())
optimizer = torch.optim.Adam(params, lr=1e-3)

for epoch in range(3):
    for (x,) in loader:
        encoder.zero_grad()
        decoder.zero_grad()
        loss = F.mse_loss(decoder(encoder(x)), x)
        loss.backward()
        optimizer.step()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import itertools
from litify import LightningModule, Trainer


class LitTwoModelsOneOptimizer(LightningModule):
    def __init__(self, decoder, encoder, optimizer):
        super().__init__()
        self.automatic_optimization = False
        self.decoder = decoder
        self.encoder = encoder
        self.optimizer = optimizer

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        (x,) = batch
        self.encoder.zero_grad()
        self.decoder.zero_grad()
        loss = F.mse_loss(self.decoder(self.encoder(x)), x)
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self):
        return self.optimizer


def main():
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=8, shuffle=True)
    encoder = nn.Linear(4, 2)
    decoder = nn.Linear(2, 4)
    params = list(encoder.parameters()) + list(decoder.parameters())
    optimizer = torch.optim.Adam(params, lr=1e-3)

    model = LitTwoModelsOneOptimizer(decoder, encoder, optimizer)
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)


if __name__ == "__main__":
    main()
