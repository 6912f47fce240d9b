"""Hyperparameters: what is kept, where it goes, and that a checkpoint makes the module anew."""

from __future__ import annotations

import copy
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, assert_same_weights, loader, quiet
from torch import nn

from litify import LightningDataModule, LightningModule
from litify.errors import CheckpointError
from litify.hparams import AttributeDict


class Base(LightningModule):
    def __init__(self, a: int, b: str = "b", *args: Any, c: float = 0.5, **more: Any) -> None:
        super().__init__()
        local = a + 1  # no argument, hence no hyperparameter
        self.save(local)

    def save(self, local: int) -> None:
        import inspect

        self.save_hyperparameters(frame=inspect.currentframe().f_back)  # type: ignore[union-attr]


class Derived(Base):
    def __init__(self, a: int, d: int = 4, **more: Any) -> None:
        super().__init__(a, **more)


def test_all_arguments_those_of_subclasses_included() -> None:
    assert Base(1, c=2.0, e=5).hparams == {"a": 1, "b": "b", "c": 2.0, "e": 5}
    assert Derived(7, e=5).hparams == {"a": 7, "b": "b", "c": 0.5, "e": 5, "d": 4}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda self, a, conf: self.save_hyperparameters("a"), {"a": 1}),
        (lambda self, a, conf: self.save_hyperparameters(ignore="conf"), {"a": 1}),
        (lambda self, a, conf: self.save_hyperparameters(ignore=["a", "conf"]), {}),
        (lambda self, a, conf: self.save_hyperparameters(conf), {"lr": 0.1, "n": 3}),
        (lambda self, a, conf: self.save_hyperparameters({"x": 1}), {"x": 1}),
        (lambda self, a, conf: self.save_hyperparameters(vars(conf), ignore=()), {"lr": 0.1, "n": 3}),
    ],
)
def test_ways_to_call_it(call: Any, expected: dict[str, Any]) -> None:
    class Module(LightningModule):
        def __init__(self, a: int, conf: Namespace) -> None:
            super().__init__()
            source = {"self": self, "a": a, "conf": conf, "call": call}
            import inspect

            original = self.save_hyperparameters
            frame = inspect.currentframe()
            self.save_hyperparameters = lambda *args, **kw: original(*args, frame=frame, **kw)  # type: ignore[method-assign]
            call(source["self"], source["a"], source["conf"])

    assert Module(1, Namespace(lr=0.1, n=3)).hparams == expected


def test_attributes_copies_and_changes() -> None:
    module = Classifier(lr=0.3)
    assert module.hparams.lr == module.hparams["lr"] == 0.3
    module.hparams.lr = 0.4
    assert module.hparams_initial.lr == 0.3
    assert copy.deepcopy(module).hparams.lr == 0.4
    with pytest.raises(AttributeError, match="no hyperparameter 'missing'"):
        module.hparams.missing  # noqa: B018
    assert repr(AttributeDict(a=1, long=2)) == "'a':    1\n'long': 2"


def test_wrong_use() -> None:
    class Module(LightningModule):
        def __init__(self, what: Any) -> None:
            super().__init__()
            self.save_hyperparameters(what)

    with pytest.raises(ValueError, match="got a int"):
        Module(3)
    with pytest.raises(ValueError, match="no arguments of __init__"):
        Module("nonsense")


def test_modules_as_hyperparameters_are_warned_of() -> None:
    class Module(LightningModule):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.save_hyperparameters()

    with pytest.warns(UserWarning, match=r"ignore=\['net'\]"):
        Module(nn.Linear(1, 1))


def test_dataclass_data_module() -> None:
    @dataclass
    class Data(LightningDataModule):
        size: int = 3

        def __post_init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()

    assert Data(5).hparams == {"size": 5}


# -- load_from_checkpoint --------------------------------------------------------------------------------------------------


def checkpoint_of(module: LightningModule, folder: Path, **arguments: Any) -> Path:
    trainer = quiet(max_epochs=1)
    trainer.fit(module, **{"train_dataloaders": loader(8), **arguments})
    trainer.save_checkpoint(folder / "x.ckpt")
    return folder / "x.ckpt"


def test_module_is_made_anew_with_its_arguments_and_weights(tmp_path: Path) -> None:
    module = Classifier(lr=0.3, dropout=0.1)
    path = checkpoint_of(module, tmp_path)
    loaded = Classifier.load_from_checkpoint(path)
    assert loaded.hparams == {"lr": 0.3, "dropout": 0.1}
    assert_same_weights(loaded, module)
    assert Classifier.load_from_checkpoint(path, lr=0.7).hparams.lr == 0.7


def test_namespace_argument_is_given_back_as_one(tmp_path: Path) -> None:
    class Module(Classifier):
        def __init__(self, args: Any) -> None:
            super().__init__()
            self.save_hyperparameters(args)
            self.width = args.width

    path = checkpoint_of(Module(Namespace(width=12)), tmp_path)
    assert Module.load_from_checkpoint(path).width == 12


def test_what_does_not_fit(tmp_path: Path) -> None:
    path = checkpoint_of(Classifier(), tmp_path)

    class Larger(Classifier):
        def __init__(self, lr: float = 0.1, dropout: float = 0.5) -> None:
            super().__init__(lr, dropout)
            self.extra = nn.Linear(1, 1)

    class Needing(Classifier):
        def __init__(self, classes: int) -> None:
            super().__init__()

    with pytest.raises(CheckpointError, match="are not those of Larger"):
        Larger.load_from_checkpoint(path)
    with pytest.warns(UserWarning, match=r"missing weights \['extra.weight', 'extra.bias'\]"):
        Larger.load_from_checkpoint(path, strict=False)
    with pytest.raises(TypeError, match=r"'classes'.*pass the missing"):
        Needing.load_from_checkpoint(path)


def test_data_module_state_and_arguments(tmp_path: Path) -> None:
    class Data(LightningDataModule):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.seen = 0

        def train_dataloader(self) -> Any:
            self.seen += 1
            return loader(self.hparams.size)

        def state_dict(self) -> dict[str, Any]:
            return {"seen": self.seen}

        def load_state_dict(self, state_dict: Any) -> None:
            self.seen = state_dict["seen"]

    path = checkpoint_of(Classifier(), tmp_path, train_dataloaders=None, datamodule=Data(8))
    loaded = Data.load_from_checkpoint(path)
    assert loaded.hparams.size == 8 and loaded.seen == 1
    kept = torch.load(path, weights_only=True)
    assert kept["datamodule_hyper_parameters"] == {"size": 8} and kept["hyper_parameters"]["lr"] == 0.1
