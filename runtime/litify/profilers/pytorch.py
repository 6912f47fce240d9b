"""PyTorchProfiler: torch.profiler, with the Trainer's actions and the module's layers by name."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import EventList, record_function
from torch.profiler import ProfilerAction, ProfilerActivity, tensorboard_trace_handler

from litify.errors import MisconfigurationException
from litify.profilers.base import Profiler
from litify.rank_zero import warn

STEPS = ("training_step", "validation_step", "test_step", "predict_step")
SORT_KEYS = (
    "cpu_time", "cuda_time", "cpu_time_total", "cuda_time_total", "cpu_memory_usage", "cuda_memory_usage",
    "self_cpu_memory_usage", "self_cuda_memory_usage", "count",
)  # fmt: skip
DEFAULT = torch.profiler.schedule(wait=1, warmup=1, active=3)
DEFAULT_STEPS = 5


class _Schedule:
    """A schedule for each kind of step by itself: validation does not use up what training is to record."""

    def __init__(self, schedule: Callable[[int], ProfilerAction]) -> None:
        self.schedule = schedule
        self.kind = ""
        self.steps: Counter[str] = Counter()
        self.saved: set[str] = set()
        self.last: ProfilerAction | None = None

    def __call__(self, step: int) -> ProfilerAction:
        if not self.kind or self.kind in self.saved:
            return ProfilerAction.NONE
        self.steps[self.kind] += 1
        action = self.schedule(self.steps[self.kind])
        if self.last is ProfilerAction.RECORD and action is ProfilerAction.WARMUP:
            action = ProfilerAction.RECORD  # another kind of step is being recorded; torch cannot go back
        if action is ProfilerAction.RECORD_AND_SAVE:
            self.saved.add(self.kind)
        self.last = action
        return action


class RegisterRecordFunction:
    """Within: each forward of a submodule is recorded as "[pl][module]CLASS: NAME"."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[Any] = []
        self._open: dict[str, record_function] = {}

    def __enter__(self) -> None:
        for name, module in self._model.named_modules():
            if name:
                label = f"[pl][module]{type(module).__module__}.{type(module).__name__}: {name}"
                self._handles.append(module.register_forward_pre_hook(partial(self._begin, label)))
                self._handles.append(module.register_forward_hook(partial(self._end, label)))

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _begin(self, label: str, *args: Any) -> None:
        self._open[label] = _begun(label)

    def _end(self, label: str, *args: Any) -> None:
        self._open.pop(label).__exit__(None, None, None)


class PyTorchProfiler(Profiler):
    """Operators on CPU and GPU, by torch.profiler; a table in the end, and traces for Chrome or TensorBoard.

    Args:
        dirpath, filename: where table and traces go.
        group_by_input_shapes: a row per shape of inputs (with record_shapes=True).
        emit_nvtx: emit NVTX ranges for nvprof in place of recording.
        export_to_chrome: write a trace to `dirpath`.
        row_limit: rows of the table; -1 is all.
        sort_by_key: the column to sort by; default: total time on the GPU, or on the CPU where there is none.
        record_module_names: record the forward of each layer under its name.
        table_kwargs: further arguments of the table.
        profiler_kwargs: arguments of torch.profiler.profile, such as schedule, activities, record_shapes. The default
            schedule records three steps after two.

    Attributes:
        function_events: what was recorded, after `describe`.

    Raises:
        MisconfigurationException: an unknown sort_by_key, or a schedule that is none.
        KeyError: a table argument that the table does not take.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        group_by_input_shapes: bool = False,
        emit_nvtx: bool = False,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        record_module_names: bool = True,
        table_kwargs: dict[str, Any] | None = None,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename)
        self._by_shapes = group_by_input_shapes and profiler_kwargs.get("record_shapes", False)
        self._emit_nvtx, self._export, self._row_limit = emit_nvtx, export_to_chrome, row_limit
        self._names, self._table = record_module_names, table_kwargs or {}
        activities = profiler_kwargs.pop("activities", None) or _activities()
        device = "cuda" if ProfilerActivity.CUDA in activities else "cpu"
        self._sort_by = sort_by_key or f"{device}_time_total"
        schedule = profiler_kwargs.pop("schedule", DEFAULT)
        _check(schedule, self._sort_by, self._table)
        self._asked = schedule
        self._kwargs = {**profiler_kwargs, "activities": activities}
        self._schedule: _Schedule | None = None
        self._stack: ExitStack | None = None  # open while recording: the profiler, and the names of layers
        self._open: dict[str, record_function] = {}
        self._over = False  # reported, though the Trainer has some hooks to run yet
        self.profiler: Any = None
        self.function_events: Any = None

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        super().setup(stage, local_rank, log_dir)
        self._over = False

    def start(self, action_name: str) -> None:
        if self._over:
            return
        if self._stack is None:
            self._begin()
        if action_name not in self._open:
            self._open[action_name] = _begun("[pl][profile]" + action_name)

    def _begin(self) -> None:
        self._stack, self.function_events = ExitStack(), None
        if self._emit_nvtx:
            self._stack.enter_context(torch.cuda.profiler.profile())
            self._stack.enter_context(torch.autograd.profiler.emit_nvtx())  # type: ignore[no-untyped-call]
        else:
            self._schedule = None if self._asked is None else _Schedule(self._asked)
            known = inspect.signature(torch.profiler.profile.__init__).parameters
            arguments = {name: value for name, value in self._kwargs.items() if name in known}
            arguments.setdefault("on_trace_ready", self._save if self._export else None)
            self.profiler = self._stack.enter_context(
                torch.profiler.profile(schedule=self._schedule, **arguments)
            )
        if self.module is not None and self._names:
            self._stack.enter_context(RegisterRecordFunction(self.module))

    def stop(self, action_name: str) -> None:
        if action_name in self._open:
            self._open.pop(action_name).__exit__(None, None, None)
        kind = next((step for step in STEPS if action_name.endswith(step)), None)
        if self.profiler is None or kind is None:
            return
        if self._schedule is not None:
            self._schedule.kind = kind
            if self._schedule.schedule is DEFAULT and self._number_of(kind) < DEFAULT_STEPS:
                warn(
                    f"PyTorchProfiler: too few steps to leave the first ones out, so all are recorded ({kind})."
                )
                self._schedule = None
                self.profiler.schedule = lambda step: ProfilerAction.RECORD
        self.profiler.step()

    def _number_of(self, kind: str) -> float:
        """Steps of a kind that this run has per epoch, the sanity check's included."""
        trainer = self.module.trainer if self.module is not None else None
        if trainer is None:
            return DEFAULT_STEPS
        if kind == "training_step":
            return float(trainer.num_training_batches)
        short = {"validation": "val"}.get(kind.removesuffix("_step"), kind.removesuffix("_step"))
        sanity = sum(trainer.num_sanity_val_batches) if short == "val" else 0
        return float(sum(getattr(trainer, f"num_{short}_batches")) + sanity)

    def _save(self, profiler: Any) -> None:
        if self.dirpath is None:
            warn("PyTorchProfiler: no folder is known for the trace; pass dirpath=.")
            return
        kind = self._schedule.kind if self._schedule is not None else None
        tensorboard_trace_handler(str(self.dirpath), self._prepare_filename(kind, ""))(profiler)

    def summary(self) -> str:
        profiler = self.profiler
        self.teardown(self._stage)
        if profiler is not None:  # else it was asked for before, and what was recorded is kept
            self.function_events = profiler.events()
        if not self.function_events:
            return ""
        averages = self.function_events.key_averages(group_by_input_shapes=self._by_shapes)
        table = averages.table(sort_by=self._sort_by, row_limit=self._row_limit, **self._table)
        return f"{self._title()}\n{table}"

    def teardown(self, stage: str | None) -> None:
        for action in list(self._open):
            self._open.pop(action).__exit__(None, None, None)
        stack, self._stack, self.profiler = self._stack, None, None
        self._over = stage is not None
        if stack is not None:
            stack.close()

    def __getstate__(self) -> dict[str, Any]:
        gone: dict[str, Any] = {
            "_stack": None,
            "_open": {},
            "profiler": None,
            "function_events": None,
            "_schedule": None,
        }
        return {**super().__getstate__(), **gone}


def _begun(label: str) -> record_function:
    record = record_function(label)
    record.__enter__()  # type: ignore[no-untyped-call]
    return record


def _activities() -> list[ProfilerActivity]:
    gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *gpu]


def _check(schedule: Any, sort_by: str, table: dict[str, Any]) -> None:
    if schedule is not None and not (callable(schedule) and isinstance(schedule(0), ProfilerAction)):
        raise MisconfigurationException(
            f"PyTorchProfiler(schedule={schedule!r}): pass a function from a step number to a torch.profiler.ProfilerAction."
        )
    if sort_by not in SORT_KEYS:
        raise MisconfigurationException(
            f"PyTorchProfiler(sort_by_key={sort_by!r}): pass one of {', '.join(SORT_KEYS)}."
        )
    known = set(inspect.signature(EventList.table).parameters) - {"self", "sort_by", "row_limit"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise KeyError(
            f"PyTorchProfiler(table_kwargs=...): {unknown} are no arguments of the table; known are {sorted(known)}."
        )
