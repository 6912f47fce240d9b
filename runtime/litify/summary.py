"""What fit says when it starts: one compact block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


def count(number: int) -> str:
    """A number in at most three digits and a unit: 21.8 K."""
    value, units = float(number), ["", " K", " M", " B", " T"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g}{units[0]}"


def parameters(module: torch.nn.Module) -> tuple[int, int]:
    """Numbers of parameters: all, and those that are trained. Lazy parameters without a shape yet count as 0."""
    known = [p for p in module.parameters() if not isinstance(p, torch.nn.UninitializedParameter)]
    return sum(p.numel() for p in known), sum(p.numel() for p in known if p.requires_grad)


def start_block(trainer: Trainer, module: LightningModule) -> str:
    """Parameters, precision, devices, batches per step, run folder, and where a resumed training goes on."""
    every, trained = parameters(module)
    size = f"{count(every)} parameters" + ("" if every == trained else f", {count(trained)} trained")
    strategy, rows = trainer.strategy, []
    there = strategy.accelerator.device_count() if strategy.root_device.type == "cuda" else 0
    hint = f" (1 of {there}; devices={there} takes all)" if there > 1 and trainer.world_size == 1 else ""
    where = (
        f"{strategy.root_device}{hint}"
        if trainer.world_size == 1
        else f"{trainer.world_size} x {strategy.root_device.type}, {strategy.name}"
    )
    rows.append(("devices", f"{where}, {strategy.precision.precision}"))
    if trainer.accumulate_grad_batches > 1:
        rows.append(("step", f"after {trainer.accumulate_grad_batches} batches"))
    if trainer.loggers and trainer.log_dir:
        rows.append(("run folder", _relative(trainer.log_dir)))
    if trainer.resumed_from is not None:
        rows.append(
            (
                "goes on",
                f"at epoch {trainer.current_epoch}, step {trainer.global_step}, from {_relative(trainer.resumed_from)}",
            )
        )
    return "\n".join([f"{type(module).__name__}: {size}", *(f"  {name:<10} {text}" for name, text in rows)])


def _relative(path: object) -> str:
    try:
        return str(Path(str(path)).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
