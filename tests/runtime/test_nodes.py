"""Two torchrun agents on loopback act as two nodes, and train as one process does with the same global batches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

# Uneven training data (the last batch of an epoch is shorter), accumulation, clipping, uneven validation, several hooks noted.
SCRIPT = """
import json, os, sys
import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningDataModule, LightningModule, Trainer
from litify.strategies import DDPStrategy

out, batch_size = sys.argv[1], int(sys.argv[2])
messages, noted = [], []


def counted(state, bucket):
    messages.append(bucket.is_last())
    return allreduce_hook(state, bucket)


class Data(LightningDataModule):
    def prepare_data(self):
        noted.append(f"prepare_data {self.trainer.local_rank}")

    def setup(self, stage):
        noted.append(f"setup {self.trainer.global_rank}")
        generator = torch.Generator().manual_seed(0)
        self.train = TensorDataset(torch.randn(44, 8, generator=generator), torch.randn(44, 1, generator=generator))
        self.val = TensorDataset(torch.randn(13, 8, generator=generator), torch.randn(13, 1, generator=generator))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size)

    def val_dataloader(self):
        return DataLoader(self.val, 3)


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 1))
        self.losses, self.seen = [], []

    def training_step(self, batch, batch_idx):
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.losses.append(self.all_gather(loss.detach()).mean().item())
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("seen", float(len(batch[0])), reduce_fx="sum", sync_dist=True)
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]), sync_dist=True)

    def on_validation_epoch_end(self):
        self.seen.append([self.trainer.callback_metrics[name].item() for name in ("seen", "val_loss")])
        self.print("validated")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


trainer = Trainer(
    max_epochs=2, accelerator="cpu", sync_batchnorm=True, strategy=DDPStrategy(ddp_comm_hook=counted), accumulate_grad_batches=2, gradient_clip_val=0.5,
    logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
model = Net()
trainer.fit(model, datamodule=Data())
result = {"losses": model.losses, "seen": model.seen, "noted": noted, "messages": len(messages), "nodes": trainer.num_nodes}
result.update(rank=trainer.global_rank, node=trainer.node_rank, world=trainer.world_size)
torch.save({**result, "weights": model.state_dict()}, f"{out}/{trainer.global_rank}.pt")
"""


def start(folder: Path, flags: list[object], batch_size: int) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(SCRIPT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_"))}
    command = [sys.executable, "-m", "litify", "run", script, *flags, "--", folder, batch_size]
    return subprocess.Popen(
        [str(part) for part in command],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**clean, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    return out


def free_endpoint() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


@pytest.mark.slow
def test_two_nodes_train_as_one_process(tmp_path: Path) -> None:
    """DESIGN 4: losses within 1e-6, weights within 1e-5; what runs once per node, on every rank, on rank zero; no needless messages."""
    nodes = ["--devices", 1, "--num-nodes", 2, "--rdzv-endpoint", free_endpoint(), "--node-rank"]
    launchers = [start(tmp_path / "two", [*nodes, rank], 4) for rank in range(2)]
    printed = [finish(launcher) for launcher in launchers]
    finish(start(tmp_path / "one", ["--devices", 1], 8))
    one: dict[str, Any] = torch.load(tmp_path / "one" / "0.pt")
    two = [torch.load(tmp_path / "two" / f"{rank}.pt") for rank in range(2)]

    assert [(each["rank"], each["node"], each["nodes"], each["world"]) for each in two] == [
        (0, 0, 2, 2),
        (1, 1, 2, 2),
    ]
    for each in two:
        assert torch.tensor(each["losses"]) == pytest.approx(torch.tensor(one["losses"]), abs=1e-6)
        assert (
            max((each["weights"][name] - value).abs().max() for name, value in one["weights"].items()) < 1e-5
        )
        assert torch.tensor(each["seen"]) == pytest.approx(torch.tensor(one["seen"]), abs=1e-6)
        assert each["seen"][0][0] == 13, "each sample once, though the parts are uneven"
        assert each["noted"] == ["prepare_data 0", f"setup {each['rank']}"], "once per node; on every rank"
        assert (
            each["messages"] == 6
        ), "44 samples are 6 batches of 8, two make a step: 3 messages in each of 2 epochs"
    assert printed == ["validated\n" * 2, ""]
