"""A worker that is killed: with --max-restarts the job goes on from its last checkpoint, and ends as one left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from litify import restarts

# Two fits, each rank with random numbers of its own (dropout), data shuffled, momenta. In the first attempt a rank kills itself.
SCRIPT = """
import os, signal, sys
import torch
from torch import nn
from litify import LightningModule, Trainer
from litify.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

out, fatal = sys.argv[1], [int(number) for number in sys.argv[2:]]  # the fit and the step after which rank 1 is killed
torch.manual_seed(int(os.environ.get("RANK", "0")))
data = TensorDataset(torch.arange(96.0).view(24, 4) / 96, torch.ones(24, 1))


class Net(LightningModule):
    def __init__(self, fit):
        super().__init__()
        self.fit = fit
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def on_train_batch_end(self, outputs, batch, batch_idx):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and self.global_rank == 1 and [self.fit, self.global_step] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


results = []
for fit in (1, 2):
    keep = ModelCheckpoint(every_n_train_steps=4)
    trainer = Trainer(max_epochs=3, callbacks=[keep], enable_progress_bar=False, default_root_dir=out)
    model = Net(fit)
    trainer.fit(model, DataLoader(data, 2, shuffle=True))
    results.append({"weights": model.state_dict(), "from": trainer.resumed_from, "steps": trainer.global_step})
if trainer.is_global_zero:
    torch.save(results, f"{out}/result.pt")
"""


def train(folder: Path, *arguments: int) -> tuple[list[dict[str, Any]], str]:
    """Both fits in two processes; what rank 0 wrote, and what was said."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_"))}
    command = [sys.executable, "-m", "litify", "run", script, "--num-processes", 2, "--max-restarts", 1, "--"]
    done = subprocess.run(
        [str(part) for part in (*command, folder, *arguments)],
        capture_output=True, text=True, env={**clean, "OMP_NUM_THREADS": "1"}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "result.pt"), done.stderr


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    """In the second fit of a script, between two checkpoints: the first is not trained again, the second goes on; bit for bit."""
    whole, said = train(tmp_path / "whole")
    assert "started again" not in said
    killed, said = train(tmp_path / "killed", 2, 10)
    assert "litify: a worker failed; all were started again (1 of 1)" in said
    assert [Path(fit["from"]).name for fit in killed] == ["epoch=2-step=16.ckpt", "epoch=1-step=8.ckpt"]
    for one, other in zip(whole, killed, strict=True):
        assert other["steps"] == one["steps"] == 18 and one["from"] is None
        for name, value in one["weights"].items():
            assert torch.equal(value, other["weights"][name]), name
    folders = [
        sorted(path.name for path in (tmp_path / run / "lightning_logs").iterdir())
        for run in ("whole", "killed")
    ]
    assert folders[0] == folders[1] == ["version_0", "version_1"], "each fit writes on where it wrote before"


def test_notes_are_of_the_same_fit_newest_first_and_of_files_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "fits", 0)
    monkeypatch.setattr(restarts, "_asked", type(restarts._asked)())
    for name in "abc":
        (tmp_path / name).touch()
    restarts.note_checkpoint(tmp_path / "a")
    assert restarts.checkpoints() == [], "without an agent nothing is noted"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "job" / "attempt_0" / "0" / "error.json"))
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    (tmp_path / "job").mkdir()
    restarts.begin_fit()
    for name in "abad":
        restarts.note_checkpoint(tmp_path / name)
    assert restarts.checkpoints() == [str(tmp_path / "a"), str(tmp_path / "b")]
    restarts.begin_fit()
    assert restarts.checkpoints() == []
    numbers = iter([5, 6, 7])
    assert [restarts.as_before("version", lambda: next(numbers)) for _ in range(2)] == [5, 6]
    monkeypatch.setattr(restarts, "_asked", type(restarts._asked)())  # the next attempt
    assert [restarts.as_before("version", lambda: next(numbers)) for _ in range(3)] == [5, 6, 7]
