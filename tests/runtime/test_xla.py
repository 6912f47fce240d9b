"""TPU training, on four virtual XLA devices of the CPU, against the same script on the plain CPU.

torch_xla needs the torch it was built with, so an environment of its own: `.ci/xla_env.sh DIR` makes one, and
LITIFY_XLA_PYTHON=DIR/bin/python tells these tests of it.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

PYTHON = os.environ.get("LITIFY_XLA_PYTHON", "")
pytestmark = [
    pytest.mark.xla,
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="LITIFY_XLA_PYTHON names no Python with torch_xla (see .ci/xla_env.sh)"
    ),
]

# A small digits-like classifier: convolution, batch statistics, tied weights, a last batch that four cores share unevenly.
# No running statistics: torch_xla keeps the biased variance where torch keeps the unbiased one.
SCRIPT = """
import sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from litify import LightningModule, Trainer

out, manual = sys.argv[1], "manual" in sys.argv
torch.manual_seed(0)
images, labels = torch.randn(45, 1, 8, 8), torch.randint(0, 10, (45,))


def compilations(device):
    if device.type != "xla":
        return 0
    import torch_xla.debug.metrics as metrics
    return (metrics.metric_data("CompileTime") or [0])[0]


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8, track_running_stats=False)
        self.one, self.two = nn.Linear(8 * 36, 16), nn.Linear(16, 16)
        self.three = nn.Linear(16, 16)
        self.three.weight = self.two.weight
        self.head = nn.Linear(16, 10)
        self.automatic_optimization = not manual
        self.losses, self.compiled, self.evaluated = [], [], []

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x))).flatten(1)
        return self.head(self.three(F.relu(self.two(F.relu(self.one(x))))))

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train_loss", loss, prog_bar=True)
        if manual:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_):
        self.compiled.append(compilations(self.device))

    def validation_step(self, batch, batch_idx):
        logits = self(batch[0])
        self.log("val_loss", F.cross_entropy(logits, batch[1]))
        self.log("accuracy", (logits.argmax(1) == batch[1]).float().mean())

    def on_validation_epoch_end(self):
        self.evaluated.append([self.trainer.callback_metrics[name].item() for name in ("val_loss", "accuracy")])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)]


model = Net()
tied = model.two.weight
trainer = Trainer(max_epochs=3, default_root_dir=out, logger=False, enable_progress_bar=False, num_sanity_val_steps=0)
train = DataLoader(TensorDataset(images, labels), batch_size=16)
trainer.fit(model, train, DataLoader(TensorDataset(images, labels), batch_size=9))
torch.save({
    "losses": torch.stack([loss.cpu() for loss in model.losses]), "evaluated": torch.tensor(model.evaluated),
    "compiled": model.compiled, "weights": {name: value.cpu() for name, value in model.state_dict().items()},
    "still_tied": model.two.weight is model.three.weight is tied, "accelerator": trainer.accelerator.name,
}, out + "/result.pt")
"""


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`litify run` in the XLA environment, with four virtual devices."""
    virtual = {"PJRT_DEVICE": "CPU", "CPU_NUM_DEVICES": "4", "OMP_NUM_THREADS": "1"}
    command = [PYTHON, "-m", "litify", "run", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **virtual}, timeout=280)


def train(folder: Path, flags: str, *arguments: str) -> dict[str, Any]:
    """Run the script with these flags; what it wrote."""
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(SCRIPT)
    result = run(script, *flags.split(), "--", str(folder), *arguments)
    assert result.returncode == 0, result.stderr
    written: dict[str, Any] = torch.load(folder / "result.pt")
    return written


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("xla")
    on_cpu = train(folder / "cpu", "--accelerator cpu")
    on_cores = train(folder / "cores", "--tpu-cores 4")
    assert (on_cpu["accelerator"], on_cores["accelerator"]) == ("cpu", "tpu")
    return folder, on_cpu, on_cores


def test_four_cores_take_the_steps_of_one_cpu(runs: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    """DESIGN 4: losses, validation and weights as on the CPU, the last batch of 13 included."""
    _, on_cpu, on_cores = runs
    assert len(on_cores["losses"]) == 9
    assert (on_cores["losses"] - on_cpu["losses"]).abs().max() < 1e-5
    assert (on_cores["evaluated"] - on_cpu["evaluated"]).abs().max() < 1e-5
    for name, value in on_cpu["weights"].items():
        assert (on_cores["weights"][name] - value).abs().max() < 1e-5, name


def test_shared_weights_stay_shared_and_the_users_own(
    runs: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    assert runs[2]["still_tied"]


def test_nothing_is_compiled_after_the_first_epoch(runs: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    """Graphs: the first step, later steps, the last smaller batch, validation's two; a graph a step would be 9 and more."""
    compiled = runs[2]["compiled"]
    assert 0 < compiled[0] <= compiled[1] <= 2
    assert compiled[-1] == compiled[3], compiled


def test_a_checkpoint_of_the_cores_loads_on_a_cpu_without_xla(
    runs: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    folder, _, on_cores = runs
    (path,) = (folder / "cores").rglob("*.ckpt")
    kept = torch.load(path, weights_only=True)
    tensors = [
        value
        for state in kept["optimizer_states"]
        for slot in state["state"].values()
        for value in slot.values()
    ]
    assert all(
        tensor.device.type == "cpu"
        for tensor in (*kept["state_dict"].values(), *filter(torch.is_tensor, tensors))
    )
    for name, value in on_cores["weights"].items():
        assert torch.equal(kept["state_dict"][name], value)
    on_cpu = train(folder / "resumed", f"--accelerator cpu --max-epochs 4 --ckpt-path {path}")
    assert len(on_cpu["losses"]) == 3


def test_manual_optimization_on_cores(runs: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    folder, on_cpu, _ = runs
    by_hand = train(folder / "manual", "--tpu-cores 4", "manual")
    first = 3  # until the scheduler, which manual optimization leaves to the script
    assert (by_hand["losses"][:first] - on_cpu["losses"][:first]).abs().max() < 1e-5


def test_the_converted_digits_script_trains_on_cores(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "fixtures" / "digits" / "train_lit.py"
    result = run(script, "--tpu-cores", "4", "--max-epochs", "2", "--default-root-dir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert int(re.findall(r"Accuracy: (\d+)/300", result.stdout)[-1]) > 270


def test_a_script_may_put_tensors_on_the_trainers_device_before_training(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(EARLY)
    result = run(script, "--tpu-cores", "4")
    assert result.returncode == 0, result.stderr
    on_cores, on_cpu = (float(n) for n in re.findall(r"LOSS (\S+) (\S+)", result.stdout)[-1])
    assert abs(on_cores - on_cpu) < 1e-4


EARLY = """
import torch
from torch import nn
from litify import LightningModule, Trainer

torch.manual_seed(0)
trainer = Trainer(max_epochs=3, logger=False, enable_checkpointing=False)
device = trainer.strategy.root_device
x = torch.randn(8, 4)
there, net = x.to(device), nn.Linear(4, 1)
twin = nn.Linear(4, 1)
twin.load_state_dict(net.state_dict())
net.to(device)


class Lit(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = net

    def training_step(self, place, batch_idx):
        return self.net(there).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


trainer.fit(Lit(), range(1))
optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    twin(x).pow(2).mean().backward()
    optimizer.step()
print("LOSS", net.cpu()(x).pow(2).mean().item(), twin(x).pow(2).mean().item())
"""


def test_a_number_of_cores_that_is_not_to_be_had_is_said(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import litify\n")
    result = run(script, "--tpu-cores", "3")
    assert result.returncode == 2
    said = "error: --tpu-cores 3: this machine has 4 TPU core(s) that torch_xla can use; take all of them, or 1\n"
    assert result.stderr.endswith(said), result.stderr
