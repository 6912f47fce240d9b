"""One seed per rank where it must differ: what worker processes of loaders draw at random (augmentation)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.runtime.models import quiet
from torch.utils.data import DataLoader, Dataset

from litify import data, rank_zero, seed_everything
from litify.seed import VARIABLE, WORKERS_VARIABLE, seed_worker
from litify.strategies.sampling import shard


class Draws(Dataset[Any]):
    """Each sample is what the three generators draw in the worker."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), float(np.random.rand())


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (VARIABLE, WORKERS_VARIABLE):
        monkeypatch.setenv(name, "0")
    yield
    rank_zero.set_rank(None)


def drawn(loader: Any) -> set[float]:
    torch.manual_seed(0)
    return {value for batch in loader for column in batch for value in column.tolist()}


def test_workers_of_ranks_draw_different_numbers() -> None:
    """Though all ranks were seeded alike, which their weights need."""
    parts = []
    for rank in range(2):
        rank_zero.set_rank(rank)
        parts.append(drawn(shard(DataLoader(Draws(), 2, num_workers=2), rank, 2, True, False)))
    assert len(parts[0]) == len(parts[1]) == 12, "four samples of three numbers on each rank, all different"
    assert not parts[0] & parts[1]


def test_a_loader_that_seeds_its_workers_is_left_alone() -> None:
    def own(worker_id: int) -> None:
        torch.manual_seed(7)

    loader = shard(DataLoader(Draws(), 2, num_workers=1, worker_init_fn=own), 1, 2, True, False)
    assert loader.worker_init_fn is own


def test_seed_everything_with_workers_seeds_them_in_one_process_too() -> None:
    seed_everything(3, workers=True)
    loader = DataLoader(Draws(), 2, num_workers=1)
    prepared = data.prepare(loader, "train", 1.0, quiet().strategy)
    assert prepared.flat[0].worker_init_fn is seed_worker
    assert loader.worker_init_fn is None, "the user's own stays as it is"
    seed_everything(3)
    assert data.prepare(loader, "train", 1.0, quiet().strategy).flat[0] is loader
