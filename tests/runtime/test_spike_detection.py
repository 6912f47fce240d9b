"""SpikeDetection: training ends where the loss jumps, and the batches that did it are written down."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runtime.models import Classifier, loader, quiet
from torch import nn

from litify.callbacks import SpikeDetection
from litify.callbacks.spike import TrainingSpikeException
from litify.errors import MisconfigurationException


class Given(Classifier):
    """Its losses are those given, with gradients of zero."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses
        self.zero = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.zero.sum() * 0 + self.losses[batch_idx]


def jumped(tmp_path: Path, losses: list[float], **options: Any) -> int | None:
    """The batch in which training ended, None where it went on."""
    callback = SpikeDetection(exclude_batches_path=tmp_path, **options)
    try:
        quiet(tmp_path, max_epochs=1, limit_train_batches=len(losses), callbacks=[callback]).fit(
            Given(losses), loader()
        )
    except TrainingSpikeException as error:
        assert json.loads((tmp_path / "skip_batches.json").read_text()) == callback.bad_batches
        assert callback.bad_batches == [error.batch_idx - 1, error.batch_idx]
        return error.batch_idx
    assert callback.bad_batches == [] and not (tmp_path / "skip_batches.json").exists()
    return None


FALLING = [1.0, 0.5, 0.4, 0.3]


@pytest.mark.parametrize(("losses", "options", "expected"), [
    ([*FALLING, 0.2], {}, None),
    ([*FALLING, 4.0], {}, 4),
    ([*FALLING, 1.0], {}, None),  # not twice the mean away from it
    ([*FALLING, 1.0], {"rtol": 0.5}, 4),
    ([*FALLING, 4.0], {"atol": 5.0}, None),
    ([*FALLING, 4.0], {"atol": 3.0}, 4),
    ([*FALLING, 4.0], {"warmup": 5}, None),
    ([-1.0, -0.5, -0.4, -4.0], {"mode": "max"}, 3),
    ([-1.0, -0.5, -0.4, 4.0], {"mode": "max"}, None),
    ([9.0, 9.0, 1.0, 1.0, 4.0], {}, None),  # the mean still holds the first two
    ([9.0, 9.0, 1.0, 1.0, 4.0], {"window": 2}, 4),
    ([*FALLING, math.nan, 0.2], {}, 4),
    ([*FALLING, math.nan, 0.2], {"finite_only": False}, None),
    ([*FALLING, math.nan, 4.0], {"finite_only": False}, 5),  # NaN is no part of the mean
    ([*FALLING, math.inf], {"finite_only": False}, 4),
    ([*FALLING, -math.inf, 0.2], {"finite_only": False}, None),
    ([*FALLING, -math.inf], {}, 4),
])  # fmt: skip
def test_where_training_ends(
    tmp_path: Path, losses: list[float], options: dict[str, Any], expected: int | None
) -> None:
    assert jumped(tmp_path, losses, **options) == expected


def test_the_list_goes_where_it_is_asked_for(tmp_path: Path) -> None:
    for asked in (tmp_path / "deep" / "mine.json", None):
        with pytest.raises(TrainingSpikeException, match="batch 1"):
            quiet(tmp_path, max_epochs=1, callbacks=[SpikeDetection(exclude_batches_path=asked)]).fit(
                Given([1.0, 9.0]), loader()
            )
        assert json.loads((asked or tmp_path / "skip_batches.json").read_text()) == [0, 1]


def test_its_state_goes_on(tmp_path: Path) -> None:
    one, other = SpikeDetection(), SpikeDetection()
    quiet(tmp_path, max_epochs=1, limit_train_batches=3, callbacks=[one]).fit(
        Given([3.0, 2.0, 1.0]), loader()
    )
    other.load_state_dict(pickle.loads(pickle.dumps(one.state_dict())))
    assert other.is_spike(9.0) and not other.is_spike(0.5) and not SpikeDetection().is_spike(9.0)


def test_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="'least'"):
        SpikeDetection(mode="least")

    class Silent(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            return None

    with pytest.raises(TypeError, match="training_step"):
        quiet(tmp_path, max_epochs=1, callbacks=[SpikeDetection()]).fit(Silent(), loader())
    error = pickle.loads(pickle.dumps(TrainingSpikeException(7)))
    assert error.batch_idx == 7
