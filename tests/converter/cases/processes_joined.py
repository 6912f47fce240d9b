import os

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def setup(rank, world_size):
    # where the processes meet
    os.environ.setdefault("MASTER_ADDR", "localhost")
    dist.init_process_group(
        "gloo", init_method=f"file://{os.path.abspath('meet')}", rank=rank, world_size=world_size
    )


def cleanup():
    dist.destroy_process_group()


def mean_over_processes(value):
    dist.all_reduce(value)
    return value / dist.get_world_size()


def evaluate(net, loader):
    net.eval()
    correct = 0
    with torch.no_grad():
        for inputs, labels in loader:
            correct += (net(inputs).argmax(1) == labels).sum().item()
    return correct / len(loader.dataset)


def main():
    rank = int(os.environ.get("RANK", 0))
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    setup(rank, world_size)
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    data = TensorDataset(x, y)
    # each process trains on its own share
    sampler = DistributedSampler(data, num_replicas=world_size, rank=rank)
    loader = DataLoader(data, batch_size=8 // world_size, sampler=sampler)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    ddp_net = DDP(net)
    optimizer = torch.optim.SGD(ddp_net.parameters(), lr=0.1 * world_size)
    for epoch in range(1, 4):
        sampler.set_epoch(epoch)
        ddp_net.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(ddp_net(inputs), labels)
            loss.backward()
            optimizer.step()
        shown = mean_over_processes(loss.detach())
        dist.barrier()
        if rank == 0:
            accuracy = evaluate(ddp_net.module, test_loader)
            print(f"R: {epoch} {shown.item():.4f} {accuracy:.3f}")
            torch.save(ddp_net.module.state_dict(), "net.pt")
    if rank == 0:
        print("R:", net[0].weight.sum().item())
    cleanup()


if __name__ == "__main__":
    main()
# output
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler
from litify import LightningModule, Trainer


def mean_over_processes(value):
    if dist.is_initialized():
        dist.all_reduce(value)
    return value / (dist.get_world_size() if dist.is_initialized() else 1)


class LitProcessesJoined(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        self.loss = F.cross_entropy(self.net(inputs), labels)
        self.log("train_loss", self.loss, prog_bar=True)
        return self.loss

    def validation_step(self, batch, batch_idx):
        inputs, labels = batch
        self.log(
            "correct", (self.net(inputs).argmax(1) == labels).sum() / len(inputs), batch_size=len(inputs)
        )

    def on_validation_epoch_end(self):
        correct = self.trainer.callback_metrics["correct"].item()
        self.accuracy = correct

    def on_train_epoch_end(self):
        epoch = self.current_epoch + 1
        shown = mean_over_processes(self.loss.detach())
        self.print(f"R: {epoch} {shown.item():.4f} {self.accuracy:.3f}")
        if self.trainer.is_global_zero:
            torch.save(self.net.state_dict(), "net.pt")

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1 * self.trainer.world_size)
        return optimizer


def main():
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    data = TensorDataset(x, y)
    trainer = Trainer(max_epochs=3, use_distributed_sampler=False, num_sanity_val_steps=0)
    # each process trains on its own share
    sampler = DistributedSampler(data, num_replicas=trainer.world_size, rank=trainer.global_rank, seed=1)
    loader = DataLoader(data, batch_size=8 // trainer.world_size, sampler=sampler)
    test_loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = LitProcessesJoined()
    trainer.fit(model, loader, test_loader)
    model.net.eval()
    if trainer.is_global_zero:
        print("R:", model.net[0].weight.sum().item())


if __name__ == "__main__":
    main()
