"""Batches in which nothing but the step has a say take a short way through fit; it must not differ from the long one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.models import Validated, quiet

from litify import Callback
from litify.loggers.base import Logger


class Rows(Logger):
    name, version = "rows", 0

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass


class Module(Validated):
    """Notes where the Trainer stands in each step, and asks for a stop at one of them."""

    def __init__(self, stop_at: int) -> None:
        super().__init__()
        self.stop_at, self.places = stop_at, []

    def place(self, what: str) -> None:
        trainer = self.trainer
        self.places.append(
            (what, trainer.current_epoch, trainer.global_step, trainer.is_last_batch, trainer.state.batch)
        )

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.place(f"step {batch_idx}")
        if len(self.places) == self.stop_at:
            self.trainer.should_stop = True
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss)
        return loss

    def on_validation_start(self) -> None:
        self.place("validation")

    def on_train_epoch_end(self) -> None:
        self.place("epoch end")


class LongWay(Callback):
    """A hook before each batch: the short way is closed."""

    def on_train_batch_start(self, *arguments: Any) -> None:
        pass


class AtEnd(Callback):
    """A hook after each batch, which both ways call."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        module.place(f"end {batch_idx} {float(outputs['loss']):.6f} {trainer.callback_metrics['loss']:.6f}")


class Unsized:
    """A loader that does not know its length."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Sized(Unsized):
    def __len__(self) -> int:
        return len(self.batches)


def trained(long: bool, batches: Any, stop_at: int, hooked: bool, **options: Any) -> tuple[Any, ...]:
    torch.manual_seed(0)
    module, rows = Module(stop_at), Rows()
    callbacks: list[Callback] = ([LongWay()] if long else []) + ([AtEnd()] if hooked else [])
    trainer = quiet(logger=rows, callbacks=callbacks, **options)
    trainer.fit(module, batches, Sized([batches.batches[0]]))
    counted = (trainer.global_step, trainer.current_epoch, trainer.state.total_batches, trainer.should_stop)
    weights = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
    return module.places, rows.rows, counted, weights.tolist()


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(1, 7),
    sized=st.booleans(),
    hooked=st.booleans(),
    missing=st.sampled_from([None, 0, 1, 3]),
    stop_at=st.sampled_from([0, 1, 2, 5]),
    options=st.fixed_dictionaries(
        {
            "max_epochs": st.integers(1, 3),
            "log_every_n_steps": st.sampled_from([0, 1, 2, 3, 50]),
            "max_steps": st.sampled_from([-1, 1, 2, 5, 100]),
            "min_steps": st.sampled_from([None, 3]),
        },
        optional={
            "limit_train_batches": st.integers(1, 4),
            "val_check_interval": st.integers(1, 9),
            "gradient_clip_val": st.just(0.1),
            "accumulate_grad_batches": st.just(2),
        },
    ),
)
def test_the_short_way_is_the_long_one(
    number: int, sized: bool, hooked: bool, missing: int | None, stop_at: int, options: dict[str, Any]
) -> None:
    generator = torch.Generator().manual_seed(1)
    found: list[Any] = [torch.randn(4, 8, generator=generator) for _ in range(number)]
    batches: list[Any] = [(x, torch.arange(4) % 2) for x in found]
    if missing is not None and 0 < missing < number:
        batches[missing] = None
    if "val_check_interval" in options:
        options = {**options, "check_val_every_n_epoch": None}
    source = Sized(batches) if sized else Unsized(batches)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        long = trained(True, source, stop_at, hooked, **options)
        short = trained(False, source, stop_at, hooked, **options)
    assert short == long
