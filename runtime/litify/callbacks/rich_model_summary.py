"""RichModelSummary: the table of layers, drawn by rich."""

from __future__ import annotations

from typing import Any

from litify.callbacks.model_summary import ModelSummary
from litify.callbacks.rich_progress import check_rich


class RichModelSummary(ModelSummary):
    """As ModelSummary, drawn by rich. Comes with RichProgressBar by itself.

    Args:
        max_depth: how deep nested layers are shown; -1 is all, 0 prints nothing.
        summarize_kwargs: `header_style`, the rich style of the titles.

    Raises:
        MissingExtra: rich is not installed.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        check_rich(type(self).__name__)
        super().__init__(max_depth, **summarize_kwargs)

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
        from rich.console import Console
        from rich.table import Table

        from litify.utilities.model_summary import totals

        table = Table(header_style=summarize_kwargs.get("header_style", "bold magenta"))
        for title, _ in summary_data:
            table.add_column(title, justify="left" if title in (" ", "Name", "Type", "Mode") else "right")
        for row in zip(*(cells for _, cells in summary_data), strict=True):
            table.add_row(*row)
        grid = Table.grid(expand=True)
        for figure, name in totals(
            total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        ):
            grid.add_row(f"[bold]{name}[/]: {figure}")
        console = Console(stderr=True)
        console.print(table)
        console.print(grid)
