"""What the introduction guide of Lightning 1.0 shows works as it is shown, with digits in MNIST's place."""

from __future__ import annotations

import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import (
    dataset,
    loader,
    network,
    quiet,
    weights,
)
from torch import nn
from torch.utils.data import DataLoader

from litify import Callback, LightningDataModule, LightningModule, Trainer
from litify.classic import hints


@pytest.fixture(autouse=True)
def hints_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test hears its hints, and none of another test's."""
    monkeypatch.setattr(hints, "_said", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class LitDigits(LightningModule):
    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer_1 = nn.Linear(8, 16)
        self.layer_2 = nn.Linear(16, num_classes)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.layer_1(x.view(x.size(0), -1)))
        return nn.functional.log_softmax(self.layer_2(x), dim=1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = nn.functional.nll_loss(self(batch[0]), batch[1])
        self.log("my_loss", loss, on_step=True, on_epoch=True, prog_bar=True, logger=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.nll_loss(self(batch[0]), batch[1]))

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        loss = nn.functional.nll_loss(self(batch[0]), batch[1])
        self.log("test_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class DigitsData(LightningDataModule):
    def prepare_data(self) -> None:
        self.prepared = True

    def setup(self, stage: str | None = None) -> None:
        self.num_classes = 3

    def train_dataloader(self) -> Any:
        return DataLoader(dataset(), batch_size=4)

    val_dataloader = test_dataloader = train_dataloader


def test_guide_a_model_defined_by_its_data_and_tested_from_a_checkpoint(tmp_path: Path) -> None:
    data = DigitsData()
    data.prepare_data()
    data.setup("fit")
    model = LitDigits(num_classes=data.num_classes)
    trainer = Trainer(gpus=0, max_epochs=1, progress_bar_refresh_rate=20, default_root_dir=tmp_path)
    trainer.fit(model, data)
    trainer.test(datamodule=data)
    path = trainer.checkpoint_callback.best_model_path
    again = LitDigits.load_from_checkpoint(path)
    (found,) = Trainer(gpus=0, default_root_dir=tmp_path, logger=False).test(again, test_dataloaders=data.test_dataloader())  # type: ignore[call-arg]
    assert "test_loss" in found
    again.freeze()
    assert again(torch.randn(1, 8)).shape == (1, 3)


def test_guide_loaders_to_fit_and_methods_of_the_module(tmp_path: Path) -> None:
    class WithData(LitDigits):
        def prepare_data(self) -> None:
            self.prepared = True

        def train_dataloader(self) -> Any:
            return DataLoader(dataset(), batch_size=4)

    quiet(tmp_path, max_epochs=1).fit(LitDigits(), DataLoader(dataset(), batch_size=4))
    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(WithData())
    assert trainer.global_step == 10


def test_guide_child_modules_and_transfer(tmp_path: Path) -> None:
    class Encoder(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            return self.net(x)

    class AutoEncoder(LitDigits):
        """By inheritance: another forward, another step."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = Encoder(), nn.Linear(4, 8)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return nn.functional.mse_loss(self.decoder(self.encoder(batch[0])), batch[0])

    quiet(tmp_path, max_epochs=1, logger=False).fit(AutoEncoder(), loader())

    class Transfer(LitDigits):
        def __init__(self, pretrained: nn.Module) -> None:
            super().__init__()
            self.feature_extractor = pretrained
            self.feature_extractor.freeze()  # type: ignore[operator]
            self.classifier = network()

        def forward(self, x: Any) -> Any:
            return nn.functional.log_softmax(
                self.classifier(nn.functional.pad(self.feature_extractor(x), (0, 4))), 1
            )

    encoder = Encoder()
    before = weights(encoder)
    quiet(tmp_path, max_epochs=1).fit(Transfer(encoder), loader())
    assert all(torch.equal(value, before[name]) for name, value in weights(encoder).items())


def test_guide_callbacks_and_overrides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Printing(Callback):
        def on_init_start(self, trainer: Any) -> None:
            print("starting to init trainer")

        def on_init_end(self, trainer: Any) -> None:
            print("trainer is init now")

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            print("training ends")

    class Overrides(LitDigits):
        def backward(self, use_amp: bool, loss: Any, optimizer: Any) -> None:  # type: ignore[override]
            loss.backward(retain_graph=True)

        def optimizer_step(  # type: ignore[override]
            self,
            epoch: int,
            batch_idx: int,
            optimizer: Any,
            optimizer_idx: int,
            second_order_closure: Any = None,
        ) -> None:
            if batch_idx % 2 == 0:
                optimizer.step()

    trainer = quiet(tmp_path, callbacks=[Printing()], max_epochs=1)
    trainer.fit(Overrides(), loader())
    assert capsys.readouterr().out.splitlines() == [
        "starting to init trainer",
        "trainer is init now",
        "training ends",
    ]


def test_hyperparameters_may_be_assigned(tmp_path: Path) -> None:
    class Assigned(LitDigits):
        def __init__(self, hparams: Namespace) -> None:
            super().__init__()
            self.hparams = hparams

    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(Assigned(Namespace(rate=0.1)), loader())
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    again = Assigned.load_from_checkpoint(tmp_path / "kept.ckpt")
    assert again.hparams.rate == 0.1 and again.hparams["rate"] == 0.1


def test_guide_hyperparameters_as_a_namespace(tmp_path: Path) -> None:
    class WithNamespace(LitDigits):
        def __init__(self, hparams: Namespace) -> None:
            super().__init__()
            self.save_hyperparameters(hparams)

    trainer = quiet(tmp_path, max_epochs=1)
    trainer.fit(WithNamespace(Namespace(rate=0.1)), loader())
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    assert WithNamespace.load_from_checkpoint(tmp_path / "kept.ckpt").hparams.rate == 0.1
