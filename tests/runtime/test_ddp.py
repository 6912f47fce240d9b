"""Two processes train as one does with the same global batches: real processes, over gloo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

from litify import Trainer
from litify.errors import MisconfigurationException
from litify.strategies import DDPStrategy

pytestmark = pytest.mark.slow

# Trains, and writes what there is to compare from rank 0. The loss of a global batch is the mean over the ranks' batches.
SCRIPT = """
import os, sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer

out, batch_size, manual = sys.argv[1], int(sys.argv[2]), "manual" in sys.argv
torch.manual_seed(0)
x, y = torch.randn(32, 8), torch.randint(0, 4, (32,))
x_val, y_val = torch.randn(21, 8), torch.randint(0, 4, (21,))


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        self.losses, self.counts = [], []

    def note(self, loss):
        self.losses.append(self.all_gather(loss.detach()).mean().item())

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.layers(batch[0]), batch[1])
        self.note(loss)
        return loss

    def validation_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("val_loss", loss, sync_dist=True)
        self.log("seen", float(len(batch[0])), reduce_fx="sum", sync_dist=True)

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.counts.append([self.trainer.callback_metrics[name].item() for name in ("val_loss", "seen")])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Gan(LightningModule):
    '''Two networks in turn; each step uses one of them, or one through the other.'''

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.judge = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
        self.never_used = nn.Linear(2, 2)
        self.losses, self.counts = [], []

    def training_step(self, batch, batch_idx):
        real, opt_g, opt_d = batch[0], *self.optimizers()
        opt_d.zero_grad()
        self.manual_backward(F.softplus(-self.judge(real)).mean())
        fake_loss = F.softplus(self.judge(self.generator(real).detach())).mean()
        self.manual_backward(fake_loss)
        nn.utils.clip_grad_norm_(self.judge.parameters(), 0.1)
        opt_d.step()
        opt_g.zero_grad()
        loss = F.softplus(-self.judge(self.generator(real))).mean()
        self.manual_backward(loss)
        opt_g.step()
        self.losses.append(self.all_gather(torch.stack([fake_loss, loss]).detach()).view(-1, 2).mean(0).tolist())

    def configure_optimizers(self):
        return torch.optim.Adam(self.generator.parameters(), 1e-2), torch.optim.SGD(self.judge.parameters(), 0.1)


model = Gan() if manual else Net()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
options = quiet if manual else {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}
trainer = Trainer(max_epochs=3, default_root_dir=out, **options)
trainer.fit(model, DataLoader(TensorDataset(x, y), batch_size), None if manual else DataLoader(TensorDataset(x_val, y_val), 4))
if trainer.is_global_zero:
    result = {"world": trainer.world_size, "losses": model.losses, "counts": model.counts, "weights": model.state_dict()}
    torch.save(result, f"{out}/result.pt")
os.write(1, f"rank {trainer.global_rank} of {trainer.world_size}\\n".encode())  # at once: processes share the pipe
"""


def train(folder: Path, flags: str, *arguments: object) -> dict[str, Any]:
    """Run the script under `litify run` with these flags; what rank 0 wrote."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LITIFY_", "PET_"))}
    command = [sys.executable, "-m", "litify", "run", script, *flags.split(), "--", folder, *arguments]
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**clean, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    written: dict[str, Any] = torch.load(folder / "result.pt")
    assert sorted(result.stdout.splitlines()) == [
        f"rank {rank} of {written['world']}" for rank in range(written["world"])
    ]
    return written


def largest_difference(one: dict[str, Any], two: dict[str, Any]) -> float:
    assert one.keys() == two.keys()
    return max((one[name] - two[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("kind", ["automatic", "manual"])
def test_two_processes_take_the_steps_of_one(tmp_path: Path, kind: str) -> None:
    """DESIGN 4: losses within 1e-6 and weights within 1e-5, with accumulation, clipping and uneven validation.

    The manual script is a GAN: two optimizers, several backward passes a step, and a layer that nothing uses.
    """
    one = train(tmp_path / "one", "--devices 1 --accelerator cpu", 8, kind)
    two = train(tmp_path / "two", "--devices 2 --accelerator cpu", 4, kind)
    assert (one["world"], two["world"]) == (1, 2)
    assert len(one["losses"]) == 12
    assert torch.tensor(two["losses"]) == pytest.approx(torch.tensor(one["losses"]), abs=1e-6)
    assert largest_difference(one["weights"], two["weights"]) < 1e-5
    if kind == "automatic":  # 21 samples: 11 and 10, in 3 batches and 3
        assert [seen for _, seen in two["counts"]] == [21.0] * 3
        assert torch.tensor(two["counts"]) == pytest.approx(torch.tensor(one["counts"]), abs=1e-6)
        written = sorted(path.suffix for path in (tmp_path / "two").rglob("version_*/**/*") if path.is_file())
        assert written.count(".ckpt") == 1 and written.count(".yaml") == 1, "one process writes"
        assert [path.name for path in (tmp_path / "two" / "lightning_logs").iterdir()] == ["version_0"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_no_thread_of_the_process_group_outlives_it(tmp_path: Path) -> None:
    """A process that ended with one still running was aborted, now and then, after all its work was done."""
    script = tmp_path / "train.py"
    threads = """
from litify.strategies.ddp import leave_group
leave_group()
print([name for task in os.listdir("/proc/self/task") if "gloo" in (name := open(f"/proc/self/task/{task}/comm").read())])
"""
    script.write_text(SCRIPT + threads)
    command = [
        sys.executable,
        "-m",
        "litify",
        "run",
        script,
        "--strategy",
        "ddp",
        "--accelerator",
        "cpu",
        "--",
        tmp_path,
        8,
    ]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200)
    assert result.stdout.splitlines()[-1:] == ["[]"], result.stderr


def test_how_gradients_are_sent_is_checked_before_anything_starts() -> None:
    with pytest.raises(
        MisconfigurationException, match="bfloat16 gradients between CUDA GPUs only, not on cpu"
    ):
        Trainer(accelerator="cpu", strategy=DDPStrategy(ddp_comm_hook=default_hooks.bf16_compress_hook))
    with pytest.raises(MisconfigurationException, match="pass ddp_comm_hook too"):
        DDPStrategy(ddp_comm_wrapper=default_hooks.fp16_compress_wrapper)


def test_the_converted_digits_script_trains_in_two_processes(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "fixtures" / "digits" / "train_lit.py"
    command = [sys.executable, "-m", "litify", "run", script, "--devices", 2, "--accelerator", "cpu"]
    command += ["--max-epochs", 2, "--default-root-dir", tmp_path]
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    summaries = re.findall(r"Accuracy: (\d+)/300", result.stdout)
    assert len(summaries) == 2, "rank 0 prints, and the counts are those of both processes"
    assert int(summaries[-1]) > 270
