"""What a trainer costs per epoch: 1,000 epochs of 3 training and 3 validation batches of a two-layer MLP, one thread.

    python benchmarks/epoch_overhead.py [--epochs 1000] [--rounds 5] [--only raw,litify]

Prints the median microseconds of CPU time per epoch and the ratio to a hand-written loop that does the same: batches from a
DataLoader, `train()`, three steps, `eval()`, the mean validation loss. Packages that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

clock = (
    time.process_time
)  # CPU time of all threads: on a busy machine wall time says more about the neighbours

BATCH, WIDTH, CLASSES, BATCHES = 8, 16, 4, 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))


def loader(shuffle: bool) -> Any:
    torch.manual_seed(1)
    samples = BATCH * BATCHES
    data = TensorDataset(torch.randn(samples, WIDTH), torch.randint(0, CLASSES, (samples,)))
    return DataLoader(data, batch_size=BATCH, shuffle=shuffle)


def raw(epochs: int) -> float:
    model, train, val = network(), loader(shuffle=True), loader(shuffle=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    begun = clock()
    for _ in range(epochs):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for x, y in val:
                total += nn.functional.cross_entropy(model(x), y).item()
        total /= len(val)
    return clock() - begun


def with_trainer(package: Any, epochs: int) -> float:
    class Module(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def loss(self, batch: Any) -> torch.Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.model(x), y)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

        def on_train_start(self) -> None:
            self.begun = clock()

        def on_train_end(self) -> None:
            self.seconds = clock() - self.begun

    module = Module()
    with tempfile.TemporaryDirectory() as folder:
        trainer = package.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, loader(shuffle=True), loader(shuffle=False))
    return module.seconds


def litify(epochs: int) -> float:
    import litify

    return with_trainer(litify, epochs)


def lightning(epochs: int) -> float:
    import lightning.pytorch

    return with_trainer(lightning.pytorch, epochs)


RUNNERS: dict[str, Callable[[int], float]] = {"raw": raw, "litify": litify, "lightning": lightning}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="names, separated by commas; raw is always measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    only = {"raw", *options.only.split(",")} if options.only else set(RUNNERS)
    found = {
        name: run
        for name, run in RUNNERS.items()
        if name in only and (name == "raw" or importlib.util.find_spec(name))
    }
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for run in found.values():
        run(5)  # imports and caches
    for _ in range(options.rounds):
        for name, run in found.items():
            seconds[name].append(run(options.epochs))
    print(f"{'':<12}{'us per epoch':>14}{'ratio to raw':>14}   (median of {options.rounds} rounds)")
    for name, values in seconds.items():
        ratio = statistics.median(mine / base for mine, base in zip(values, seconds["raw"], strict=True))
        print(f"{name:<12}{statistics.median(values) / options.epochs * 1e6:>14.0f}{ratio:>14.2f}")


if __name__ == "__main__":
    main()
