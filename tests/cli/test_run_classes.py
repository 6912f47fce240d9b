"""`litify run` of a file that only defines classes: found, built from arguments, trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FILE = """
import torch
from torch.utils.data import DataLoader
from litify import LightningDataModule, LightningModule


class Base(LightningModule):
    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    def on_train_end(self):
        print(type(self).__name__, self.hparams.lr, self.trainer.datamodule.size, self.trainer.global_step)


class Net(Base):
    def __init__(self, width: int, lr: float = 0.5, name="untyped"):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, width)


class Data(LightningDataModule):
    def __init__(self, size: int = 8):
        super().__init__()
        self.size = size

    def train_dataloader(self):
        return DataLoader(torch.ones(self.size, 4), batch_size=2)
"""


def litify_run(file: Path, *arguments: str) -> tuple[int, str, str]:
    flags = ["--accelerator", "cpu", "--max-epochs", "1", "--default-root-dir", str(file.parent)]
    command = [sys.executable, "-m", "litify", "run", str(file), *flags, "--", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return result.returncode, result.stdout, result.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "classes.py"
    path.write_text(FILE)
    return path


def test_classes_are_built_from_arguments_and_a_config_file(file: Path) -> None:
    config = file.with_name("config.yaml")
    config.write_text("model:\n  width: 3\n  lr: 0.25\n")
    code, out, err = litify_run(file, "--config", str(config), "--data.size=6")
    assert (code, out) == (0, "Net 0.25 6 3\n"), err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model.width", "wide"], "model.width"),
        ([], "model.width"),
        (["--model.width", "1", "--model.depth", "2"], "model.depth"),
        (["--model", "Other"], "defines no LightningModule 'Other'; it defines Base, Net"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(file: Path, arguments: list[str], said: str) -> None:
    code, out, err = litify_run(file, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("litify run: error: ") and said in err and err.count("\n") == 1, err


def test_several_classes_are_named_and_one_can_be_chosen(file: Path) -> None:
    file.write_text(FILE + "\n\nclass Wider(Base):\n    def __init__(self):\n        super().__init__()\n")
    code, _, err = litify_run(file)
    assert code == 2
    assert (
        err
        == f"litify run: error: {file} defines several LightningModules: Net, Wider; choose one with `-- --model NAME`\n"
    )
    code, out, err = litify_run(file, "--model", "Net", "--model.width", "1")
    assert (code, out) == (0, "Net 0.5 8 4\n"), err


def test_classes_of_lightning_are_refused(file: Path) -> None:
    file.write_text(FILE.replace("from litify", "from lightning"))
    code, _, err = litify_run(file)
    assert code == 2 and err.count("\n") == 1
    assert "its classes are Lightning's; import them from litify, or give it a main" in err
