"""Small models, data and hand-written loops that the runtime's tests compare the Trainer with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from litify import LightningModule, Trainer

WIDTH, CLASSES = 8, 3


def network(dropout: float = 0.5) -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, CLASSES))


def dataset(samples: int = 40) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(samples, WIDTH, generator=generator)
    return TensorDataset(x, torch.randint(0, CLASSES, (samples,), generator=generator))


def loader(samples: int = 40, batch_size: int = 4, shuffle: bool = False, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset(samples), batch_size, shuffle=shuffle, **options)


def loss_of(net: nn.Module, batch: Any) -> Tensor:
    x, y = batch
    return nn.functional.cross_entropy(net(x), y)


class Classifier(LightningModule):
    """The module that most tests train."""

    def __init__(self, lr: float = 0.1, dropout: float = 0.5) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = network(dropout)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return loss_of(self.net, batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)


class Validated(Classifier):
    """Also validates and tests."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", loss_of(self.net, batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", loss_of(self.net, batch))


def quiet(folder: Path | None = None, **options: Any) -> Trainer:
    """A Trainer that writes nothing, unless told to."""
    defaults: dict[str, Any] = {
        "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
        "accelerator": "cpu", "max_epochs": 2,
    }  # fmt: skip
    if folder is not None:
        defaults["default_root_dir"] = folder
    return Trainer(**{**defaults, **options})


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def assert_same_weights(one: nn.Module, other: nn.Module, what: str = "") -> None:
    """Bit for bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert (
        not different
    ), f"{what} {different} differ, by {max((ours[n] - theirs[n]).abs().max() for n in different)}"
