"""SimpleProfiler: how long each action takes."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from pathlib import Path

from litify.profilers.base import Profiler


class SimpleProfiler(Profiler):
    """Seconds per action: mean and total.

    Args:
        dirpath, filename: where the report goes.
        extended: also the number of calls, and the share of the whole time.

    Attributes:
        recorded_durations: by action, the seconds of each call.

    Raises:
        ValueError: an action is started twice, or stopped without having been started.
    """

    def __init__(
        self, dirpath: str | Path | None = None, filename: str | None = None, extended: bool = True
    ) -> None:
        super().__init__(dirpath, filename)
        self.extended = extended
        self.current_actions: dict[str, float] = {}
        self.recorded_durations: dict[str, list[float]] = defaultdict(list)
        self.start_time = time.perf_counter()

    def start(self, action_name: str) -> None:
        if action_name in self.current_actions:
            raise ValueError(f"The action {action_name} has already been started; stop it first.")
        self.current_actions[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        now = time.perf_counter()
        if action_name not in self.current_actions:
            raise ValueError(f"The action {action_name} was never started; start it first.")
        self.recorded_durations[action_name].append(now - self.current_actions.pop(action_name))

    def summary(self) -> str:
        whole = time.perf_counter() - self.start_time
        rows = [
            (action, math.fsum(durations) / len(durations), len(durations), math.fsum(durations))
            for action, durations in self.recorded_durations.items()
        ]
        order = 3 if self.extended else 1
        rows.sort(key=lambda row: row[order], reverse=True)
        if not self.extended:
            head = ["Action", "Mean duration (s)", "Total time (s)"]
            table = [[action, f"{mean:.5}", f"{total:.5}"] for action, mean, _, total in rows]
        else:
            head = ["Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %"]
            calls = sum(count for _, _, count, _ in rows)
            table = [["Total", "-", str(calls), f"{whole:.5}", "100 %"]]
            table += [
                [action, f"{mean:.5}", str(count), f"{total:.5}", f"{100 * total / whole:.5}"]
                for action, mean, count, total in rows
            ]
        widths = [max(map(len, column)) for column in zip(head, *table, strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, ["-" * width for width in widths], *table]
        ]
        return "\n".join([self._title(), *lines]) + "\n"
