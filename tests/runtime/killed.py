"""A training that kills itself with SIGKILL at the n-th thing that happens in it, or goes on from its newest checkpoint to the end."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from tests.runtime.models import WIDTH, Validated, dataset, loader, quiet
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset

from litify import Callback
from litify.callbacks import ModelCheckpoint


class Noisy(Dataset[Any]):
    """Samples with noise drawn in the worker."""

    def __init__(self) -> None:
        self.samples = dataset(20)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.samples[index]
        return x + 0.1 * torch.randn(WIDTH), y


class Stream(IterableDataset[Any]):
    """A stream without a length, in an order drawn anew for each epoch."""

    def __iter__(self) -> Iterator[Any]:
        samples = dataset(20)
        return (samples[index] for index in torch.randperm(20).tolist())


class Module(Validated):
    """Dropout, momenta, two kinds of schedule."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        plateau = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.9)
        return [optimizer], [
            {"scheduler": plateau, "monitor": "val_loss"},
            {"scheduler": StepLR(optimizer, 4), "interval": "step"},
        ]


class Happenings(Callback):
    """Counts what happens, and kills the process at the n-th."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.count = fatal, 0

    def happens(self, *_: Any) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    on_train_batch_start = on_before_backward = on_after_backward = on_train_batch_end = happens
    on_validation_start = on_validation_batch_start = on_validation_end = on_train_epoch_end = happens


def data(kind: str) -> Any:
    if kind == "stream":
        return DataLoader(Stream(), 4)
    if kind == "workers":
        return DataLoader(Noisy(), 4, shuffle=True, num_workers=2)
    return loader(20, shuffle=True)


def train(folder: Path, kind: str, options: dict[str, Any], every_batch: bool, fatal: int) -> None:
    """Train from the newest checkpoint in `folder` on; leave the end in final.pt, with the number of things that happened."""
    os.setpgrp()  # so that its worker processes can be ended with it
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    happenings = Happenings(fatal)
    for name in ("fsync", "replace"):  # while a checkpoint is written, too
        setattr(os, name, _and_happens(getattr(os, name), happenings))
    when: dict[str, Any] = (
        {"train_time_interval": timedelta(0)} if every_batch else {"every_n_train_steps": 2}
    )
    kept = ModelCheckpoint(folder, save_last=True, **when)
    trainer = quiet(max_epochs=3, callbacks=[happenings, kept], enable_checkpointing=True, **options)
    module = Module()
    trainer.fit(module, data(kind), loader(8), ckpt_path="last")
    optimizer = trainer.optimizers[0].state_dict()
    end = {"weights": module.state_dict(), "optimizer": optimizer, "step": trainer.global_step}
    torch.save({**end, "happenings": happenings.count}, folder / "final.pt")


def _and_happens(function: Any, happenings: Happenings) -> Any:
    def both(*args: Any, **kwargs: Any) -> Any:
        happenings.happens()
        return function(*args, **kwargs)

    return both
