"""The ways to give a Trainer its data, and what it does with loaders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests.runtime.models import (
    Classifier,
    Validated,
    assert_same_weights,
    loader,
    loss_of,
    quiet,
)
from torch import nn

from litify import (
    CombinedLoader,
    LightningDataModule,
    LightningModule,
    MisconfigurationException,
)


class Data(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def prepare_data(self) -> None:
        self.calls.append("prepare_data")

    def setup(self, stage: str) -> None:
        self.calls.append(f"setup {stage}")

    def train_dataloader(self) -> Any:
        return loader(12)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader

    def teardown(self, stage: str) -> None:
        self.calls.append(f"teardown {stage}")


class OwnData(Validated):
    def train_dataloader(self) -> Any:
        return loader(12)

    val_dataloader = train_dataloader


def test_three_ways_to_give_data_train_the_same() -> None:
    modules = []
    for make, arguments in (
        (Validated, {"train_dataloaders": loader(12), "val_dataloaders": loader(12)}),
        (OwnData, {}),
        (Validated, {"datamodule": Data()}),
        (Validated, {"train_dataloaders": Data()}),
    ):
        torch.manual_seed(0)
        module = make()
        quiet().fit(module, **arguments)
        modules.append(module)
    for module in modules[1:]:
        assert_same_weights(module, modules[0])


def test_datamodule_is_set_up_and_torn_down_for_each_call() -> None:
    data, trainer, module = Data(), quiet(max_epochs=1), Validated()
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    assert data.calls == [
        "prepare_data",
        "setup fit",
        "teardown fit",
        "prepare_data",
        "setup test",
        "teardown test",
    ]


def endless() -> Iterator[Any]:
    while True:
        yield from loader(8)


class Endless:
    def __iter__(self) -> Iterator[Any]:
        return endless()


@pytest.mark.parametrize(
    ("data", "batches"),
    [
        (list(loader(12)), 3),
        (tuple(loader(12)), 3),
        ([{"x": torch.randn(2, 8)}], 1),
        (range(4), 4),
        (loader(12), 3),
        (Endless(), 5),
    ],
    ids=["list", "tuple", "list of a dictionary", "range", "DataLoader", "endless"],
)
def test_whatever_yields_batches_is_a_loader(data: Any, batches: int) -> None:
    seen = []

    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append(batch_idx)
            return self.net(torch.randn(2, 8)).sum()

    quiet(max_epochs=1, limit_train_batches=5).fit(Module(), data)
    assert seen == list(range(batches))


def test_several_training_loaders_come_together() -> None:
    seen: list[Any] = []

    class Module(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append({name: len(part[0]) for name, part in batch.items()})
            return loss_of(self.net, batch["a"])

    quiet(max_epochs=1).fit(Module(), {"a": loader(12), "b": loader(4, batch_size=2)})
    assert seen == [{"a": 4, "b": 2}] * 3
    seen.clear()
    quiet(max_epochs=1).fit(Module(), CombinedLoader({"a": loader(12), "b": loader(4)}, "min_size"))
    assert seen == [{"a": 4, "b": 4}]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("min_size", [[0, 0], [1, 1]]),
        ("max_size", [[0, 0], [1, 1], [2, None]]),
        ("max_size_cycle", [[0, 0], [1, 1], [2, 0]]),
        ("sequential", [0, 1, 2, 0, 1]),
    ],
)
def test_combined_loader_modes(mode: str, expected: list[Any]) -> None:
    combined = CombinedLoader([range(3), range(2)], mode)
    with pytest.raises(RuntimeError, match=r"call iter\(\) first"):
        len(combined)
    assert [batch for batch, _, _ in combined] == expected
    assert len(combined) == len(expected)


@pytest.mark.parametrize(("mode", "begun"), [("sequential", [0]), ("max_size", [0, 1])])
def test_combined_loaders_begin_when_iter_is_called(mode: str, begun: list[int]) -> None:
    class Loader:
        def __init__(self, number: int) -> None:
            self.number = number

        def __iter__(self) -> Any:
            found.append(self.number)
            return iter([self.number])

    found: list[int] = []
    iter(CombinedLoader([Loader(0), Loader(1)], mode))
    assert found == begun


def test_model_that_builds_layers_in_setup() -> None:
    class Module(Classifier):
        def __init__(self) -> None:
            LightningModule.__init__(self)

        def setup(self, stage: str) -> None:
            self.net = nn.Linear(8, 3)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    module = Module()
    quiet().fit(module, loader(8))
    assert module.net.weight.grad is not None


def test_overfit_batches_sees_the_same_batches() -> None:
    seen: list[Any] = []

    class Module(Classifier):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            seen.append(batch[0].sum().item())

    with pytest.warns(UserWarning, match="order of the train loader is fixed now"):
        quiet(overfit_batches=2, max_epochs=2).fit(Module(), loader(40, shuffle=True))
    assert len(seen) == 4 and seen[:2] == seen[2:]


def test_no_data() -> None:
    with pytest.raises(MisconfigurationException, match="There is no train data"):
        quiet().fit(Classifier())
    with pytest.raises(TypeError, match="int given as train data is no loader"):
        quiet().fit(Classifier(), 3)
    with pytest.raises(MisconfigurationException, match="either loaders or a data module"):
        quiet().fit(Classifier(), loader(8), datamodule=Data())
    with pytest.warns(UserWarning, match="no batches"):
        quiet().fit(Classifier(), [])
