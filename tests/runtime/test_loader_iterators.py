"""Loaders in the forms that Lightning takes them: lists of small loaders, steps that fetch batches themselves, loaders with a state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest
import torch
from tests.runtime.models import Classifier, Validated, loader, loss_of, quiet
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler

from litify import LightningModule
from litify.combined_loader import leaves
from litify.data import has_iterable_dataset, prepare
from litify.strategies.single_device import SingleDeviceStrategy


class Echo(Classifier):
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return batch, batch_idx, dataloader_idx


def test_a_list_of_lists_of_numbers_is_several_loaders(tmp_path: Path) -> None:
    found = quiet(tmp_path).predict(Echo(), [[0, 1], [2, 3]])
    assert found == [[(0, 0, 0), (1, 1, 0)], [(2, 0, 1), (3, 1, 1)]]


def test_a_list_of_batches_is_one_loader() -> None:
    batches = [[torch.zeros(2), torch.zeros(2)], [torch.ones(2), torch.ones(2)]]
    assert leaves(batches) == [batches]
    assert len(leaves([batches, batches])) == 1  # nested as deeply as batches may be
    assert len(leaves([iter(batches), iter(batches)])) == 2


class Fetching(Validated):
    """Takes two batches per step, and notes what its hooks get."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def take(self, dataloader_iter: Iterator[Any]) -> Any:
        loss: Any = 0.0
        for _ in range(2):
            batch, batch_idx, _ = next(dataloader_iter)
            self.calls.append(("fetch", batch_idx, batch[1].tolist()))
            loss = loss + loss_of(self.net, batch)
        return loss

    def training_step(self, dataloader_iter: Iterator[Any]) -> Any:  # type: ignore[override]
        return self.take(dataloader_iter)

    def validation_step(self, dataloader_iter: Iterator[Any]) -> Any:  # type: ignore[override]
        return self.take(dataloader_iter)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.calls.append(("start", batch_idx, None if batch is None else batch[1].tolist()))

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.calls.append(("end", batch_idx, batch[1].tolist()))

    def on_validation_epoch_end(self) -> None:
        self.calls.append("validated")


def test_hooks_of_a_fetching_step_get_what_it_fetched_last(tmp_path: Path) -> None:
    module = Fetching()
    quiet(tmp_path, max_epochs=1).fit(module, loader(12, 2))
    labels = [y.tolist() for _, y in loader(12, 2)]
    expected: list[Any] = []
    before: list[int] | None = None
    for first in (0, 2, 4):
        expected += [("start", max(0, first - 1), before)]
        expected += [("fetch", i, labels[i]) for i in (first, first + 1)]
        before = labels[first + 1]
        expected += [("end", first + 1, before)]
    assert module.calls == expected


def test_a_step_that_fetches_several_batches_ends_the_epoch_with_its_last(tmp_path: Path) -> None:
    module = Fetching()
    trainer = quiet(tmp_path, max_epochs=2, num_sanity_val_steps=0)
    trainer.fit(module, loader(12, 2), loader(8, 2))
    assert module.calls.count("validated") == 2
    assert trainer.global_step == 6


class Counting:
    """Yields numbers, and goes on from its state."""

    def __init__(self, start: int = 0) -> None:
        self.index = start

    def __iter__(self) -> Iterator[Any]:
        while self.index < 10:
            self.index += 1
            yield torch.full((2, 8), float(self.index)), torch.zeros(2, dtype=torch.long)

    def __len__(self) -> int:
        return 10

    def state_dict(self) -> dict[str, int]:
        return {"index": self.index}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.index = state["index"]


class Noting(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(batch[0][0, 0].item())
        return super().training_step(batch, batch_idx)


def test_a_loader_with_a_state_goes_on_from_it(tmp_path: Path) -> None:
    trainer, first, second = quiet(tmp_path, max_steps=3), Noting(), Noting()
    trainer.fit(first, Counting())
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    kept = torch.load(tmp_path / "kept.ckpt", weights_only=True)
    assert kept["loops"]["fit_loop"]["state_dict"]["combined_loader"] == [{"index": 3}]
    passed = Counting(start=-100)  # passing over three batches would not lead to the fourth
    quiet(tmp_path, max_steps=5).fit(second, passed, ckpt_path=tmp_path / "kept.ckpt")
    assert (first.seen, second.seen) == ([1, 2, 3], [4, 5])


def test_a_new_epoch_goes_on_with_the_loaders_that_have_a_state(tmp_path: Path) -> None:
    class Both(Noting):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(batch[0][0][0, 0].item())
            return loss_of(self.net, batch[0])

    trainer, first, second = quiet(tmp_path, max_steps=2), Both(), Both()
    trainer.fit(first, [Counting(), loader(8, 2)])
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    quiet(tmp_path, max_steps=4).fit(second, [Counting(), loader(8, 2)], ckpt_path=tmp_path / "kept.ckpt")
    assert (first.seen, second.seen) == ([1, 2], [3, 4])


def test_without_states_for_all_loaders_batches_are_passed_over(tmp_path: Path) -> None:
    class Both(Noting):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(batch[0][0][0, 0].item())
            return loss_of(self.net, batch[0])

        def on_train_batch_end(self, *args: Any) -> None:
            if self.global_step == 3:
                self.trainer.save_checkpoint(tmp_path / "kept.ckpt")

    first, second = Both(), Both()
    quiet(tmp_path, max_steps=4).fit(first, [Counting(), loader(8, 2)])
    quiet(tmp_path, max_steps=5).fit(second, [Counting(), loader(8, 2)], ckpt_path=tmp_path / "kept.ckpt")
    assert (first.seen, second.seen) == ([1, 2, 3, 4], [4, 5])


@pytest.mark.parametrize("of_batches", [False, True])
def test_samplers_hear_of_each_epoch_once(tmp_path: Path, of_batches: bool) -> None:
    def made() -> tuple[DataLoader[Any], Mock]:
        data = loader().dataset
        sampler = RandomSampler(data)
        sampler.set_epoch = Mock()  # type: ignore[attr-defined]
        if of_batches:
            return DataLoader(data, batch_sampler=BatchSampler(sampler, 4, True)), sampler.set_epoch  # type: ignore[attr-defined]
        return DataLoader(data, batch_size=4, sampler=sampler), sampler.set_epoch  # type: ignore[attr-defined]

    (train, told), (val, told_val), (again, told_again) = made(), made(), made()
    trainer, module = quiet(tmp_path, max_epochs=2), Validated()
    trainer.fit(module, train, val)
    trainer.validate(module, again, verbose=False)
    assert told.mock_calls == [call(0), call(1)]
    assert told_val.mock_calls == [call(0), call(0), call(1)]  # the sanity check comes first
    assert told_again.mock_calls == [call(2)]


def test_loaders_of_the_sanity_check_serve_only_an_epoch_that_validates(tmp_path: Path) -> None:
    class Asked(Validated):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[int] = []

        def val_dataloader(self) -> Any:
            if not self.trainer.sanity_checking:
                self.asked.append(self.current_epoch)
            return loader(8)

    def asked(**options: Any) -> list[int]:
        module = Asked()
        quiet(tmp_path, max_epochs=10, num_sanity_val_steps=1, **options).fit(module, loader(4))
        return module.asked

    assert asked(check_val_every_n_epoch=3, reload_dataloaders_every_n_epochs=4) == [2, 8]
    assert asked(check_val_every_n_epoch=1, reload_dataloaders_every_n_epochs=2) == [2, 4, 6, 8]


def test_a_loader_without_a_step_is_told(tmp_path: Path) -> None:
    class Unused(Classifier):
        validation_step = LightningModule.validation_step

        def val_dataloader(self) -> Any:
            return loader()

    with pytest.warns(UserWarning, match="no validation_step"):
        quiet(tmp_path, max_epochs=1).fit(Unused(), loader())


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(loader(8).dataset)

    def __len__(self) -> int:
        return 8


def test_an_iterable_data_set_with_a_length_is_told() -> None:
    made = DataLoader(Endless(), 2)
    assert has_iterable_dataset(made) and not has_iterable_dataset(loader())
    with pytest.warns(UserWarning, match="iterable and has a length"):
        prepare(made, "train", 1.0, SingleDeviceStrategy("cpu"))


@pytest.mark.parametrize(("workers", "persistent"), [(1, True), (0, False)])
def test_workers_that_stay_are_not_told(workers: int, persistent: bool) -> None:
    strategy = SingleDeviceStrategy("cpu")
    strategy.start_method = "spawn"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(loader(num_workers=workers, persistent_workers=persistent), "train", 1.0, strategy)


def test_workers_started_anew_in_spawned_processes_are_told() -> None:
    strategy = SingleDeviceStrategy("cpu")
    strategy.start_method = "spawn"
    with pytest.warns(UserWarning, match="persistent_workers=True"):
        prepare(loader(num_workers=1), "train", 1.0, strategy)
