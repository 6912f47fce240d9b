"""What a trainer costs per step of data-parallel training: an MLP in two processes over gloo, one thread each, about 5 ms a step.

    python benchmarks/ddp_overhead.py [--processes 2] [--steps 60] [--rounds 15] [--width 512] [--only raw,litify]

Prints, of rank 0, the median milliseconds per step and the median ratios to the hand-written DistributedDataParallel loop, of wall
time and of CPU time. The loop runs before and after each runner, all in the same processes, so that a machine that changes its speed
does so for both. Packages that are not installed are left out. `*_log` logs one value per step.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

BATCH, CLASSES = 64, 10
Seconds = tuple[float, float]  # wall time, and CPU time of all threads


class Workload:
    """The model and the batches of this rank."""

    def __init__(self, steps: int, width: int) -> None:
        self.steps, self.width = steps, width
        torch.manual_seed(1 + dist.get_rank())
        self.made = [(torch.randn(BATCH, width), torch.randint(0, CLASSES, (BATCH,))) for _ in range(8)]

    def network(self) -> nn.Module:
        torch.manual_seed(0)
        hidden = [nn.Linear(self.width, self.width), nn.ReLU()] * 2
        return nn.Sequential(*hidden, nn.Linear(self.width, CLASSES))

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Any:
        return (self.made[step % len(self.made)] for step in range(self.steps))


def clocks() -> Seconds:
    return time.perf_counter(), time.process_time()


def since(begun: Seconds) -> Seconds:
    now = clocks()
    return now[0] - begun[0], now[1] - begun[1]


def raw(work: Workload) -> Seconds:
    model = DistributedDataParallel(work.network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    dist.barrier()
    begun = clocks()
    for x, y in work:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return since(begun)


def with_trainer(package: Any, work: Workload, log: bool) -> Seconds:
    class Module(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = work.network()

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            loss = nn.functional.cross_entropy(self.model(x), y)
            if log:
                self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

        def on_train_start(self) -> None:
            dist.barrier()
            self.begun = clocks()

        def on_train_end(self) -> None:
            self.seconds = since(self.begun)

    module = Module()
    with tempfile.TemporaryDirectory() as folder:
        trainer = package.Trainer(
            max_epochs=1, accelerator="cpu", devices=dist.get_world_size(), strategy="ddp", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, work)
    return module.seconds


def litify(work: Workload) -> Seconds:
    import litify

    return with_trainer(litify, work, log=False)


def litify_log(work: Workload) -> Seconds:
    import litify

    return with_trainer(litify, work, log=True)


def lightning(work: Workload) -> Seconds:
    import lightning.pytorch

    return with_trainer(lightning.pytorch, work, log=False)


def lightning_log(work: Workload) -> Seconds:
    import lightning.pytorch

    return with_trainer(lightning.pytorch, work, log=True)


RUNNERS: list[tuple[str, Callable[[Workload], Seconds], str]] = [
    ("litify", litify, "litify"),
    ("litify_log", litify_log, "litify"),
    ("lightning", lightning, "lightning"),
    ("lightning_log", lightning_log, "lightning"),
]


def measure(work: Workload, rounds: int, only: set[str]) -> dict[str, list[tuple[float, ...]]]:
    """Per runner and round: milliseconds of a step, wall and CPU time, and their ratios to the hand-written loop around it."""
    found = [
        (name, run)
        for name, run, package in RUNNERS
        if importlib.util.find_spec(package) and (not only or name in only)
    ]
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("raw", *dict(found))}
    for _, run in found:
        with contextlib.redirect_stderr(io.StringIO()):
            run(work)  # imports and caches
    before = raw(work)
    for _ in range(rounds):
        for name, run in found:
            with contextlib.redirect_stderr(io.StringIO()):
                wall, cpu = run(work)
            after = raw(work)
            measured["raw"].append((*per_step(after, work), 1.0, 1.0))
            ratios = (2 * wall / (before[0] + after[0]), 2 * cpu / (before[1] + after[1]))
            measured[name].append((*per_step((wall, cpu), work), *ratios))
            before = after
    return measured


def per_step(seconds: Seconds, work: Workload) -> tuple[float, float]:
    """Milliseconds."""
    return seconds[0] / work.steps * 1e3, seconds[1] / work.steps * 1e3


def worker(options: argparse.Namespace) -> None:
    """One of the processes: all runners in turn; rank 0 prints."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    importlib.import_module("torch._dynamo")  # optimizers import it, and must not while a group exists
    dist.init_process_group("gloo")
    work = Workload(options.steps, options.width)
    measured = measure(work, options.rounds, {name for name in options.only.split(",") if name})
    if dist.get_rank() == 0:
        head = "".join(f"{title:>12}" for title in ("ms per step", "CPU ms", "wall ratio", "CPU ratio"))
        print(f"{'':<16}{head}   ({options.rounds} rounds of {options.steps} steps, medians)")
        for name, rows in measured.items():
            step, cpu, *ratios = (statistics.median(column) for column in zip(*rows, strict=True))
            print(f"{name:<16}{step:>12.2f}{cpu:>12.2f}{ratios[0]:>12.3f}{ratios[1]:>12.3f}")
    dist.destroy_process_group()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--width", type=int, default=512, help="of the layers: how long a step takes")
    parser.add_argument("--only", default="", help="names, separated by commas; raw is always measured")
    options = parser.parse_args()
    if "RANK" in os.environ:
        worker(options)
        return 0
    agent = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(options.processes)]
    return subprocess.call([sys.executable, *agent, *sys.argv], env={"OMP_NUM_THREADS": "1", **os.environ})


if __name__ == "__main__":
    sys.exit(main())
