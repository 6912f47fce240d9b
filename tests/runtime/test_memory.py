"""Memory stays where it is, however long training lasts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, loader

from litify import Trainer

STEPS, WARM = 20_000, 2_000


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class Repeated:
    """The same few batches, over and over."""

    def __init__(self) -> None:
        self.batches = list(loader())

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Any:
        return (self.batches[i % len(self.batches)] for i in range(STEPS))


class Module(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        if batch_idx == WARM:
            self.warm = resident_mib()
        return loss


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_flat_with_logging(tmp_path: Path) -> None:
    module = Module()
    Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, enable_checkpointing=False).fit(
        module, Repeated()
    )
    assert resident_mib() - module.warm < 4
