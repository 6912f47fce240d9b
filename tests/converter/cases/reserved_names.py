import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Log:
    def __init__(self):
        self.lines = []

    def write(self, text):
        self.lines.append(text)


def main():
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    logger = Log()
    global_step = 0
    dtype = torch.float32
    net = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(net.parameters())
    for epoch in range(3):
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs.to(dtype)), labels)
            loss.backward()
            optimizer.step()
            global_step += 1
            logger.write(f"{global_step} {loss.item()}")
    print(global_step, len(logger.lines))


if __name__ == "__main__":
    main()
# output
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer


class Log:
    def __init__(self):
        self.lines = []

    def write(self, text):
        self.lines.append(text)


class LitReservedNames(LightningModule):
    def __init__(self, dtype, logger):
        super().__init__()
        self.dtype_ = dtype
        self.logger_ = logger
        self.net = nn.Linear(4, 3)
        self.global_step_ = 0

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = F.cross_entropy(self.net(inputs.to(self.dtype_)), labels)
        self.global_step_ += 1
        self.logger_.write(f"{self.global_step_} {loss.item()}")
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.net.parameters())
        return optimizer


def main():
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    logger = Log()
    dtype = torch.float32
    model = LitReservedNames(dtype, logger)
    trainer = Trainer(max_epochs=3)
    trainer.fit(model, loader)
    print(model.global_step_, len(logger.lines))


if __name__ == "__main__":
    main()
