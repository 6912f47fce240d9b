"""Profiler: start and stop of named actions, and a report in the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litify.rank_zero import say


class Profiler:
    """Override `start`, `stop` and `summary`.

    Args:
        dirpath: folder of the report; default: the run folder.
        filename: the report's name, to which stage and rank are added; None prints the report on stderr.
    """

    active = True
    """Whether the Trainer has its hooks and steps recorded at all."""

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath, self.filename = dirpath, filename
        self.module: Any = None  # what runs; the Trainer sets it
        self._stage: str | None = None
        self._local_rank: int | None = None

    def start(self, action_name: str) -> None:
        """An action begins."""
        raise NotImplementedError

    def stop(self, action_name: str) -> None:
        """An action is over."""
        raise NotImplementedError

    def summary(self) -> str:
        """The report."""
        return ""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Record what happens within, as an action of this name."""
        try:
            self.start(action_name)
            yield action_name
        finally:
            self.stop(action_name)

    def wrap(self, function: Callable[..., Any], action_name: str) -> Callable[..., Any]:
        """The function, each call recorded."""

        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self.profile(action_name):
                return function(*args, **kwargs)

        return recorded

    def wrap_iterator(self, iterator: Iterator[Any], action_name: str) -> Iterator[Any]:
        """The iterator, each `next` recorded."""
        missing = object()
        while True:
            with self.profile(action_name):
                item = next(iterator, missing)
            if item is missing:
                return
            yield item

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A call of the Trainer begins.

        Args:
            stage: "fit", "validate", "test" or "predict".
            local_rank: None where there is one process.
            log_dir: the run folder.
        """
        self._stage, self._local_rank = stage, local_rank
        self.dirpath = self.dirpath or log_dir

    def describe(self) -> None:
        """Write or print the report, and start anew."""
        report = self.summary()
        if report and self.filename and self.dirpath:
            path = Path(self.dirpath) / self._prepare_filename()
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(report)
        elif report and self._local_rank in (None, 0):
            say(report)
        self.teardown(self._stage)

    def teardown(self, stage: str | None) -> None:
        """A call of the Trainer is over, or failed."""

    def _prepare_filename(self, action_name: str | None = None, extension: str = ".txt") -> str:
        rank = None if self._local_rank is None else str(self._local_rank)
        parts = [part for part in (self._stage, self.filename, rank, action_name) if part]
        base = re.sub(r'[\\/:*?"<>|\n\r\t_]+', "_", "-".join(parts)).strip()
        return (base or "profile") + extension

    def _title(self) -> str:
        return f"{self._stage.upper()} Profiler Report" if self._stage else "Profiler Report"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "module": None}


class PassThroughProfiler(Profiler):
    """Records nothing. What `Trainer(profiler=None)` has."""

    active = False

    def start(self, action_name: str) -> None:
        pass

    def stop(self, action_name: str) -> None:
        pass

    def wrap(self, function: Callable[..., Any], action_name: str) -> Callable[..., Any]:
        return function

    def wrap_iterator(self, iterator: Iterator[Any], action_name: str) -> Iterator[Any]:
        return iterator

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        pass
