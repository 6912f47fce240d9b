import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


torch.manual_seed(0)
real_data = DataLoader(TensorDataset(torch.randn(64, 2)), batch_size=16, shuffle=True)
G = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
D = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
g_optimizer, d_optimizer = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
bce = nn.BCEWithLogitsLoss()
fixed_noise = torch.randn(4, 3)

for epoch in range(3):
    for i, (real,) in enumerate(real_data):
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)

        # discriminator
        fake = G(torch.randn(len(real), 3))
        d_loss = bce(D(real), ones) + bce(D(fake.detach()), zeros)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        # generator
        g_loss = bce(D(fake), ones)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
    print(epoch, d_loss.item(), g_loss.item())
    torch.save(G(fixed_noise).detach(), f"samples_{epoch}.pt")
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitGan(LightningModule):
    def __init__(self, D, G, bce, d_optimizer, fixed_noise, g_optimizer):
        super().__init__()
        self.automatic_optimization = False
        self.D = D
        self.G = G
        self.bce = bce
        self.d_optimizer = d_optimizer
        self.register_buffer("fixed_noise", fixed_noise, persistent=False)
        self.g_optimizer = g_optimizer

    def training_step(self, batch, batch_idx):
        g_optimizer, d_optimizer = self.optimizers()
        (real,) = batch
        ones, zeros = torch.ones(len(real), 1, device=self.device), torch.zeros(
            len(real), 1, device=self.device
        )

        # discriminator
        fake = self.G(torch.randn(len(real), 3, device=self.device))
        self.d_loss = self.bce(self.D(real), ones) + self.bce(self.D(fake.detach()), zeros)
        d_optimizer.zero_grad()
        self.manual_backward(self.d_loss)
        d_optimizer.step()

        # generator
        self.g_loss = self.bce(self.D(fake), ones)
        g_optimizer.zero_grad()
        self.manual_backward(self.g_loss)
        g_optimizer.step()

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.print(epoch, self.d_loss.item(), self.g_loss.item())
        if self.trainer.is_global_zero:
            torch.save(self.G(self.fixed_noise).detach(), f"samples_{epoch}.pt")

    def configure_optimizers(self):
        return [self.g_optimizer, self.d_optimizer]


def main():
    torch.manual_seed(0)
    real_data = DataLoader(TensorDataset(torch.randn(64, 2)), batch_size=16, shuffle=True)
    G = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    D = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    g_optimizer = torch.optim.Adam(G.parameters())
    d_optimizer = torch.optim.Adam(D.parameters())
    bce = nn.BCEWithLogitsLoss()
    fixed_noise = torch.randn(4, 3)

    model = LitGan(D, G, bce, d_optimizer, fixed_noise, g_optimizer)
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, real_data)


if __name__ == "__main__":
    main()
