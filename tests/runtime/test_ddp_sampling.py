"""Each process gets its part of the samples, and what the loader chose is kept."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from litify.errors import MisconfigurationException
from litify.strategies.sampling import shard


def parts(
    loader: DataLoader, world_size: int = 2, training: bool = True, shuffle: bool = False, epoch: int = 0
) -> list:
    """The samples that each rank sees in an epoch, in order."""
    seen = []
    for rank in range(world_size):
        part = shard(loader, rank, world_size, training, shuffle)
        if hasattr(part.sampler, "set_epoch"):
            part.sampler.set_epoch(epoch)
        seen.append([int(sample) for batch in part for sample in torch.as_tensor(batch).flatten()])
    return seen


def test_two_parts_make_the_global_batches_of_one_process() -> None:
    first, second = (
        list(shard(DataLoader(range(8), batch_size=2), rank, 2, True, False)) for rank in range(2)
    )
    together = [sorted(torch.cat(pair).tolist()) for pair in zip(first, second, strict=True)]
    assert together == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_training_parts_are_equally_long_and_cover_everything() -> None:
    first, second = parts(DataLoader(range(7), batch_size=2), shuffle=False)
    assert len(first) == len(second) == 4
    assert set(first) | set(second) == set(range(7))


def test_shuffling_is_kept_and_changes_with_the_epoch() -> None:
    loader = DataLoader(range(100), batch_size=10, shuffle=True)
    once, again, later = (parts(loader, shuffle=True, epoch=epoch) for epoch in (0, 0, 1))
    assert once == again != later
    assert sorted(once[0] + once[1]) == list(range(100))
    assert isinstance(shard(loader, 0, 2, True, True).sampler, DistributedSampler)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_evaluation_counts_each_sample_once(world_size: int) -> None:
    seen = parts(DataLoader(range(10), batch_size=3), world_size, training=False)
    assert sorted(chain(*seen)) == list(range(10))
    loaders = [
        shard(DataLoader(range(10), batch_size=3), rank, world_size, False, False)
        for rank in range(world_size)
    ]
    assert [len(loader.sampler) for loader in loaders] == [len(part) for part in seen]


def test_evaluation_of_a_subset_stays_in_the_subset() -> None:
    """Many scripts split one data set by SubsetRandomSampler: a plain DistributedSampler would validate on training data."""
    loader = DataLoader(range(100), batch_size=4, sampler=SubsetRandomSampler([3, 5, 7, 9, 11]))
    assert sorted(chain(*parts(loader, training=False))) == [3, 5, 7, 9, 11]


def test_weights_of_a_sampler_are_kept() -> None:
    loader = DataLoader(range(3), batch_size=2, sampler=WeightedRandomSampler([0.0, 1.0, 0.0], 8))
    assert parts(loader) == [[1] * 4, [1] * 4]


def test_a_random_sampler_leaves_the_global_generator_alone() -> None:
    sampler = shard(DataLoader(range(9), sampler=SubsetRandomSampler(range(9))), 0, 2, True, False).sampler
    before = torch.get_rng_state()
    list(sampler)
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_of_an_own_batch_sampler_stay_whole() -> None:
    class Pairs(BatchSampler):
        def __iter__(self):
            return iter([[0, 1], [2, 3], [4, 5]])

        def __len__(self):
            return 3

    loader = DataLoader(range(6), batch_sampler=Pairs(SequentialSampler(range(6)), 2, False))
    assert parts(loader, training=False) == [[0, 1, 4, 5], [2, 3]]
    assert [len(part) for part in parts(loader)] == [4, 4]


def test_a_loader_of_a_class_with_other_arguments_keeps_its_class_and_the_users_loader_is_untouched() -> None:
    class Mine(DataLoader):
        def __init__(self, numbers, scale):
            super().__init__(numbers, batch_size=2, collate_fn=lambda batch: torch.tensor(batch) * scale)
            self.scale = scale

    mine = Mine(range(4), 10)
    part = shard(mine, 1, 2, True, False)
    assert type(part) is Mine and part.scale == 10
    assert torch.cat(list(part)).tolist() == [10, 30]
    assert torch.cat(list(mine)).tolist() == [0, 10, 20, 30]


def test_what_cannot_or_need_not_be_sharded_is_returned_as_it_is() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    distributed = DataLoader(range(4), sampler=DistributedSampler(range(4), 2, 0))
    for loader in (DataLoader(Stream()), distributed, [1, 2, 3]):
        assert shard(loader, 0, 2, True, False) is loader


def test_fewer_evaluation_samples_than_processes_is_said() -> None:
    """A process with nothing to evaluate would never meet the others at the end of the epoch."""
    with pytest.raises(MisconfigurationException, match=r"1 sample.* 2 processes"):
        shard(DataLoader(range(1)), 0, 2, False, False)
