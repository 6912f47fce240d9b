"""ModelSummary: the table of layers when fit starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litify.callbacks.base import Callback
from litify.rank_zero import say

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer


class ModelSummary(Callback):
    """Prints the layers of the module when fit starts. Override `summarize` for another look.

    Args:
        max_depth: how deep nested layers are shown; -1 is all, 0 prints nothing.
        summarize_kwargs: passed on to `summarize`.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        self._max_depth, self._summarize_kwargs = max_depth, summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._max_depth:
            return
        from litify.utilities.model_summary import summarize  # counting FLOPs loads much of torch

        found = summarize(pl_module, self._max_depth)
        if trainer.is_global_zero:
            self.summarize(
                found._get_summary_data(),
                found.total_parameters,
                found.trainable_parameters,
                found.model_size,
                found.total_training_modes,
                total_flops=found.total_flops,
                **self._summarize_kwargs,
            )

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Print the table: columns of title and cells, and what stands below it."""
        from litify.utilities.model_summary import format_table

        say(
            format_table(
                summary_data,
                total_parameters,
                trainable_parameters,
                model_size,
                total_training_modes,
                total_flops,
            )
        )
