"""The learning rate finder in two processes finds what one finds with the same global batches, and leaves training alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, loader, quiet

from litify.callbacks import BatchSizeFinder
from litify.errors import MisconfigurationException
from litify.tuner import Tuner

pytestmark = pytest.mark.slow

# Runs jobs, one fit after another in the same processes; rank 0 writes what there is to compare.
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer
from litify.callbacks import LearningRateFinder
from litify.strategies import FSDPStrategy
from litify.tuner import Tuner

folder, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.lr = 0.05
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def run(name, strategy, by, update):
    torch.manual_seed(0)
    model = Net()
    x, y = torch.randn(64, 8), torch.randint(0, 4, (64,))
    finder = LearningRateFinder(1e-4, 1.0, 40, update_attr=update)
    trainer = Trainer(
        max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        strategy=FSDPStrategy(min_num_params=10) if strategy == "fsdp" else strategy,
        enable_model_summary=False, callbacks=[finder] if by == "callback" else [],
    )
    loader = DataLoader(TensorDataset(x, y), 8 // trainer.world_size)
    found = None
    if by == "tuner":
        found = Tuner(trainer).lr_find(
            model, loader, min_lr=1e-4, max_lr=1.0, num_training=40, update_attr=update
        )
    trainer.fit(model, loader)
    found = (found or finder.optimal_lr)
    results = trainer.strategy.broadcast(found.results) if found else None
    same = found is None or found.results == results
    weights = {name: getattr(w, "full_tensor", lambda w=w: w)() for name, w in model.state_dict().items()}
    if trainer.is_global_zero:
        torch.save({"found": results, "same": same, "lr": model.lr, "weights": weights}, folder / f"{name}.pt")


if __name__ == "__main__":
    for job in jobs:
        run(**job)
"""


def launch(folder: Path, world: int, *jobs: dict[str, Any]) -> dict[str, Any]:
    """Run the jobs, one after another, in `world` processes under `litify run`; what rank 0 wrote for each, by name."""
    script = folder / "tune.py"
    script.write_text(SCRIPT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_"))}
    command = [sys.executable, "-m", "litify", "run", str(script), "--devices", str(world)]
    result = subprocess.run(
        [*command, "--accelerator", "cpu", "--", str(folder), json.dumps(jobs)],
        capture_output=True,
        text=True,
        env={**clean, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    return {job["name"]: torch.load(folder / f"{job['name']}.pt") for job in jobs}


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_learning_rates_found_by_several_processes(tmp_path: Path) -> None:
    jobs = [
        {"name": f"{by}-{update}", "by": by, "update": update, "strategy": "auto"}
        for by in ("tuner", "callback", "none")
        for update in (True, False)
    ]
    one = launch(tmp_path, 1, *jobs)
    alone = one["none-False"]
    for name in ("tuner-False", "callback-False"):
        assert difference(one[name]["weights"], alone["weights"]) == 0
    assert one["tuner-True"]["lr"] == one["callback-True"]["lr"] != 0.05

    several = [{**job, "strategy": strategy, "name": f"{strategy}-{job['name']}"} for strategy in ("ddp", "fsdp") for job in jobs]  # fmt: skip
    two = launch(tmp_path, 2, *several)
    for name, found in two.items():
        expected = one[name.split("-", 1)[1]]
        assert found["same"]
        if expected["found"] is not None:
            assert found["found"]["lr"] == expected["found"]["lr"]
            assert found["found"]["loss"] == pytest.approx(expected["found"]["loss"], abs=1e-5)
        assert found["lr"] == expected["lr"]
        assert difference(found["weights"], expected["weights"]) < 1e-5


def test_searches_that_cannot_be_had_are_refused_before_a_process_starts() -> None:
    with pytest.raises(
        MisconfigurationException, match="runs in one process, not in 2; search with devices=1"
    ):
        quiet(devices=2, callbacks=[BatchSizeFinder()])
    with pytest.raises(ValueError, match="runs in one process, not in 2"):
        Tuner(quiet(devices=2)).scale_batch_size(Classifier())
    with pytest.raises(MisconfigurationException, match="stays in the processes that spawn makes"):
        Tuner(quiet(devices=2, strategy="ddp_spawn")).lr_find(Classifier(), loader())
