"""AdvancedProfiler: Python's own profiler for each action."""

from __future__ import annotations

import cProfile
import io
import pstats
from pathlib import Path
from typing import Any

from litify.profilers.base import Profiler


class AdvancedProfiler(Profiler):
    """Which functions each action spends its time in, by cProfile.

    An action's time leaves out that of actions within it: Python has one profiler at a time.

    Args:
        dirpath, filename: where the report goes.
        line_count_restriction: functions per action: a number (int) or a share (float).
        dump_stats: also write ACTION.prof files for pstats, snakeviz and the like to `dirpath`.

    Raises:
        ValueError: an action is stopped without having been started.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
    ) -> None:
        super().__init__(dirpath, filename)
        self.line_count_restriction, self.dump_stats = line_count_restriction, dump_stats
        self.profiled_actions: dict[str, cProfile.Profile] = {}
        self._running: list[cProfile.Profile] = []

    def start(self, action_name: str) -> None:
        if self._running:
            self._running[-1].disable()
        profile = self.profiled_actions.setdefault(action_name, cProfile.Profile())
        self._running.append(profile)
        profile.enable()

    def stop(self, action_name: str) -> None:
        profile = self.profiled_actions.get(action_name)
        if profile is None or profile not in self._running:
            raise ValueError(f"The action {action_name} was never started; start it first.")
        profile.disable()
        self._running.remove(profile)
        if self._running:
            self._running[-1].enable()

    def summary(self) -> str:
        lines = [self._title()]
        for action, profile in self.profiled_actions.items():
            if self.dump_stats and self.dirpath:
                path = Path(self.dirpath) / self._prepare_filename(action, ".prof")
                path.parent.mkdir(parents=True, exist_ok=True)
                profile.dump_stats(path)
            text = io.StringIO()
            stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative")
            stats.print_stats(self.line_count_restriction)
            lines += [f"Profile stats for: {action}", text.getvalue()]
        return "\n".join(lines)

    def teardown(self, stage: str | None) -> None:
        for profile in self._running:
            profile.disable()
        self._running.clear()
        self.profiled_actions.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "profiled_actions": {}, "_running": []}
