import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm, trange

torch.manual_seed(0)
x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
net = nn.Linear(4, 3)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
with trange(3, desc="epochs") as bar:
    for epoch in bar:
        batches = tqdm(enumerate(loader), total=len(loader), leave=False)
        for i, (inputs, labels) in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            # update the bar
            batches.set_description(f"Epoch [{epoch}/{3}]")
            batches.set_postfix(loss=loss.item(), batch=i)
        bar.write(f"R: {epoch} {loss.item():.4f}")
        tqdm.write("R: above the bars")
    else:
        # all epochs are done
        print("R: done", loss.item())
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class LitBarsAndElse(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def on_train_epoch_end(self):
        epoch = self.current_epoch
        self.print(f"R: {epoch} {self.loss.item():.4f}")
        self.print("R: above the bars")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    model = LitBarsAndElse()
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)
    loss = model.loss
    # all epochs are done
    print("R: done", loss.item())


if __name__ == "__main__":
    main()
