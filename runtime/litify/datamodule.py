"""LightningDataModule: where data comes from, apart from what is done with it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from litify.combined_loader import leaves
from litify.hparams import DATA_KEY, LoadsFromCheckpoint
from litify.transfer import to_device

if TYPE_CHECKING:
    import torch

    from litify.trainer import Trainer


class DataHooks:
    """The hooks about data that a LightningModule and a LightningDataModule share. Override what is needed."""

    prepare_data_per_node: bool = True
    allow_zero_length_dataloader_with_multiple_devices: bool = False

    def prepare_data(self) -> None:
        """Download, unpack, tokenize: called in one process (per node), before `setup`. Set no attributes here."""

    def setup(self, stage: str) -> None:
        """Build data sets, split, and build layers that need the data: called in every process.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """

    def teardown(self, stage: str) -> None:
        """The end of fit, validate, test or predict."""

    def train_dataloader(self) -> Any:
        """The loader(s) to train on."""
        raise NotImplementedError(f"{type(self).__name__} has no train_dataloader.")

    def val_dataloader(self) -> Any:
        """The loader(s) to validate on."""
        raise NotImplementedError(f"{type(self).__name__} has no val_dataloader.")

    def test_dataloader(self) -> Any:
        """The loader(s) to test on."""
        raise NotImplementedError(f"{type(self).__name__} has no test_dataloader.")

    def predict_dataloader(self) -> Any:
        """The loader(s) to predict."""
        raise NotImplementedError(f"{type(self).__name__} has no predict_dataloader.")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it is moved to the device. Returns the batch."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch. Needed only for types other than tensors, containers of them, and what has a `to` method."""
        return to_device(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch on the device, for example augment it. Returns the batch."""
        return batch


def _samples_of(loader: Any) -> int | str:
    try:
        return len(loader.dataset)
    except TypeError:
        return "NA"


class LightningDataModule(DataHooks, LoadsFromCheckpoint):
    """Downloads, splits and loads a data set, so that the module that trains on it need not know how."""

    name: str | None = None
    trainer: Trainer | None = None
    CHECKPOINT_HYPER_PARAMS_KEY = DATA_KEY

    def __init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        """How many samples each kind of loader has: a number, NA for a data set without a length, None before `setup`."""
        kinds = {"Train": "train", "Validation": "val", "Test": "test", "Predict": "predict"}
        lines = (f"{{{title} dataloader: {self._samples(kind)}}}" for title, kind in kinds.items())
        return os.linesep.join(lines)

    def _samples(self, kind: str) -> str:
        try:
            loaders = leaves(getattr(self, f"{kind}_dataloader")())
            found = [_samples_of(loader) for loader in loaders]
        except Exception:  # whatever a loader's method raises as long as its data is not there
            return "None"
        if len(found) == 1:
            return f"size={found[0]}"
        return " ; ".join(f"{index}. size={size}" for index, size in enumerate(found, 1))

    def on_exception(self, exception: BaseException) -> None:
        """Fit, validate, test or predict ends by this exception."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data module."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""

    def _load_weights(self, checkpoint: dict[str, Any], strict: bool | None, path: Any) -> None:
        state = checkpoint.get(type(self).__qualname__)
        if state:
            self.load_state_dict(state)

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        val_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        test_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        predict_dataset: Dataset[Any] | Iterable[Dataset[Any]] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **kwargs: Any,
    ) -> LightningDataModule:
        """A data module from data sets alone; the training one shuffles unless it is iterable.

        Args:
            batch_size, num_workers: of the loaders; `__init__` gets them, too, where it takes them.
            kwargs: arguments of `__init__`.
        """
        accepted = inspect.signature(cls.__init__).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
        for name, value in {"batch_size": batch_size, "num_workers": num_workers}.items():
            if takes_any or name in accepted:
                kwargs[name] = value
        module = cls(**kwargs)

        def loader(dataset: Dataset[Any], shuffle: bool = False) -> DataLoader[Any]:
            shuffle = shuffle and not isinstance(dataset, IterableDataset)
            return DataLoader(
                dataset,
                batch_size=batch_size,
                shuffle=shuffle,
                num_workers=num_workers,
                pin_memory=num_workers > 0,
            )

        def loaders(datasets: Any, shuffle: bool) -> Any:
            if isinstance(datasets, Mapping):
                return {key: loader(dataset, shuffle) for key, dataset in datasets.items()}
            if isinstance(datasets, Sequence):
                return [loader(dataset, shuffle) for dataset in datasets]
            return loader(datasets, shuffle)

        for name, datasets in {
            "train": train_dataset, "val": val_dataset, "test": test_dataset, "predict": predict_dataset
        }.items():  # fmt: skip
            if datasets is not None:
                make = lambda datasets=datasets, name=name: loaders(datasets, name == "train")  # noqa: E731
                setattr(module, f"{name}_dataloader", make)
        return module
