"""What a trainer costs per step: a two-layer MLP, batches of 8, one thread; all in turn, in many short rounds.

    python benchmarks/step_overhead.py [--steps 1500] [--rounds 21] [--only raw,litify]

Prints the median microseconds of CPU time per step and the median ratio to the hand-written loop, which runs before and after
each runner. Rounds are short so that a processor that changes its speed does so for both, and many so that the median forgets
the rounds in which it did not. Packages that are not installed are left out. `*_log` logs one value per step; `litify_default` has the progress bar
and TensorBoard on besides.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# CPU time of all threads of the process: on a busy machine wall time says more about the neighbours.
clock = time.process_time

BATCH, WIDTH, CLASSES = 8, 16, 4


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))


def batches(steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    made = [(torch.randn(BATCH, WIDTH), torch.randint(0, CLASSES, (BATCH,))) for _ in range(100)]
    return [made[i % 100] for i in range(steps)]


def raw(steps: int) -> float:
    model, data = network(), batches(steps)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    begun = clock()
    for x, y in data:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return clock() - begun


class Loader:
    """A sized iterable that is no list, so that every trainer takes it for one loader."""

    def __init__(self, data: list[Any]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Any:
        return iter(self.data)


def with_trainer(package: Any, steps: int, log: bool, default: bool = False) -> float:
    class Module(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            loss = nn.functional.cross_entropy(self.model(x), y)
            if log:
                self.log("loss", loss, prog_bar=default)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

        def on_train_start(self) -> None:
            self.begun = clock()

        def on_train_end(self) -> None:
            self.seconds = clock() - self.begun

    module = Module()
    with tempfile.TemporaryDirectory() as folder:
        trainer = package.Trainer(
            max_epochs=1, accelerator="cpu", logger=default, enable_checkpointing=False, enable_progress_bar=default,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, Loader(batches(steps)))
    return module.seconds


def litify(steps: int) -> float:
    import litify

    return with_trainer(litify, steps, log=False)


def litify_log(steps: int) -> float:
    import litify

    return with_trainer(litify, steps, log=True)


def litify_default(steps: int) -> float:
    import litify

    return with_trainer(litify, steps, log=True, default=True)


def lightning(steps: int) -> float:
    import lightning.pytorch

    return with_trainer(lightning.pytorch, steps, log=False)


def lightning_log(steps: int) -> float:
    import lightning.pytorch

    return with_trainer(lightning.pytorch, steps, log=True)


def accelerate(steps: int) -> float:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model, optimizer = accelerator.prepare(model, optimizer)
    data = batches(steps)
    begun = clock()
    for x, y in data:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        accelerator.backward(loss)
        optimizer.step()
    return clock() - begun


def ignite(steps: int) -> float:
    from ignite.engine import Engine

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step(engine: Any, batch: Any) -> torch.Tensor:
        x, y = batch
        model.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    data = batches(steps)
    begun = clock()
    Engine(step).run(data, max_epochs=1)
    return clock() - begun


RUNNERS: list[tuple[str, Callable[[int], float], str]] = [
    ("raw", raw, "torch"),
    ("litify", litify, "litify"),
    ("litify_log", litify_log, "litify"),
    ("litify_default", litify_default, "litify"),
    ("lightning", lightning, "lightning"),
    ("lightning_log", lightning_log, "lightning"),
    ("accelerate", accelerate, "accelerate"),
    ("ignite", ignite, "ignite"),
]


def measure(steps: int, rounds: int, only: set[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds per runner and round, and their ratios to the hand-written loop.

    The runners take turns and the hand-written loop runs between any two: a busy machine slows neighbours in time alike.
    """
    found = [
        (name, run)
        for name, run, package in RUNNERS
        if run is not raw and importlib.util.find_spec(package) and (not only or name in only)
    ]
    measured: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ("raw", *dict(found))}
    for _, run in found:
        run(50)  # imports and caches
    before = raw(steps)
    for _ in range(rounds):
        for name, run in found:
            with contextlib.redirect_stderr(io.StringIO()):
                seconds = run(steps)
            after = raw(steps)
            measured["raw"][0].append(after)
            measured["raw"][1].append(1.0)
            measured[name][0].append(seconds)
            measured[name][1].append(2 * seconds / (before + after))
            before = after
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", default="", help="names, separated by commas; raw is always measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    only = {name for name in options.only.split(",") if name}
    measured = measure(options.steps, options.rounds, only)
    print(
        f"{'':<16}{'us per step':>12}{'ratio to raw':>14}   ({options.rounds} rounds of {options.steps} steps, medians)"
    )
    for name, (seconds, ratios) in measured.items():
        print(
            f"{name:<16}{statistics.median(seconds) / options.steps * 1e6:>12.1f}{statistics.median(ratios):>14.2f}"
        )


if __name__ == "__main__":
    main()
