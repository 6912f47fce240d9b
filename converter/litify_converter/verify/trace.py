"""What one run leaves behind: a line per optimizer step, forward pass and printed result, then one about its end.

The recorder writes these lines as JSON, one file per process that stepped; `read_trace` picks the process that
counts. Standard library only: both sides import it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What the child process is told; paths are absolute and lie in the scratch copy, but for the folders."""

    script: str
    argv0: str  # the script as the user typed it
    traces: str  # folder for the trace files
    tree: str  # scratch copy of the file system's root
    protected: tuple[str, ...]  # the user's own folders: read, never written ...
    allowed: tuple[str, ...]  # ... except for these below them
    seed: int
    steps: int | None  # stop after this many optimizer steps
    keyed: bool
    items: int | None = None  # of each synthetic data set; None: the script reads its own data

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        values = json.loads(text)
        return cls(**{**values, "protected": tuple(values["protected"]), "allowed": tuple(values["allowed"])})


@dataclass(frozen=True)
class Step:
    """One optimizer step, as it stood when gradients were there and parameters not yet changed.

    Norms are Euclidean, over all parameters of the optimizer, in float64. `loss` holds the scalars that were
    given to backward since the step before, so it is empty where a script computes gradients otherwise.
    """

    optimizer: int  # in order of first step
    kind: str  # class name
    parameters: int  # numbers, not tensors
    lr: tuple[float | None, ...]  # per parameter group
    param_norm: float
    loss: tuple[float, ...]
    grad_norm: float
    where: str | None  # path:line inside the user's files


@dataclass(frozen=True)
class ForwardPass:
    """What a network returned. `evaluation`: in evaluation mode, or with gradients off."""

    norm: float  # of all tensors returned, in float64
    projection: float  # their scalar product with a fixed direction
    evaluation: bool
    where: str | None
    step: int = 0  # how many optimizer steps were taken before


@dataclass(frozen=True)
class PrintedLine:
    """A line with a number on standard output."""

    text: str
    where: str | None
    step: int = 0


@dataclass(frozen=True)
class Weight:
    """One parameter tensor after the run: enough to tell whether it is the same, and roughly how far off.

    `projection` is its scalar product with a fixed pseudo-random direction, so that two tensors of equal norm differ.
    """

    digest: str
    norm: float
    projection: float


@dataclass(frozen=True)
class End:
    """How a recorded process ended: "exit" by itself, "steps" at the limit, "error" with an exception.

    A process killed from outside leaves no end.
    """

    reason: str
    weights: tuple[tuple[Weight, ...], ...] = ()  # per optimizer that stepped
    seeds: tuple[int, ...] = ()  # what the script gave to torch.manual_seed
    error: str | None = None
    data_missing: bool = False
    source: str | None = (
        None  # library whose data set found nothing, if --synthetic knows some of its data sets
    )
    where: str | None = None
    synthetic: tuple[str, ...] = ()  # data sets that were replaced, with their sizes


Record = Step | ForwardPass | PrintedLine | End


@dataclass(frozen=True)
class Trace:
    steps: Sequence[Step]
    end: End | None
    passes: Sequence[ForwardPass] = ()
    lines: Sequence[PrintedLine] = ()

    @property
    def optimizers(self) -> tuple[str, ...]:
        """Class names, in order of first step."""
        return tuple({step.optimizer: step.kind for step in self.steps}.values())


def to_line(record: Record) -> str:
    values = asdict(record)
    values.pop("step", None)  # follows from what stands before it in the file
    return json.dumps({type(record).__name__: values}) + "\n"


def read_trace(folder: Path) -> Trace:
    """The main process's trace, or, where it took no step, those of its children of rank 0, in order of their start.

    Files are named `<main|child>-<rank>-<start in ns>.jsonl`.
    """
    files = sorted(folder.glob("*.jsonl"), key=lambda path: int(path.stem.split("-")[2]))
    main = _joined([_read_file(path) for path in files if path.name.startswith("main-")])
    children = [_read_file(path) for path in files if path.name.startswith("child-0-")]
    training = [trace for trace in children if trace.steps]
    if main.steps or not training:
        return main
    joined = _joined(training)
    return replace(joined, end=main.end) if main.end and main.end.reason == "error" else joined


def _joined(traces: Sequence[Trace]) -> Trace:
    """One after the other; the end is the last one's that has any."""
    steps: list[Step] = []
    passes: list[ForwardPass] = []
    lines: list[PrintedLine] = []
    for trace in traces:
        passes += [replace(one, step=one.step + len(steps)) for one in trace.passes]
        lines += [replace(one, step=one.step + len(steps)) for one in trace.lines]
        steps += trace.steps
    return Trace(steps, next((trace.end for trace in reversed(traces) if trace.end), None), passes, lines)


def _read_file(path: Path) -> Trace:
    steps: list[Step] = []
    passes: list[ForwardPass] = []
    lines: list[PrintedLine] = []
    end = None
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):  # cut short when its process was killed
            break
        ((kind, values),) = json.loads(line).items()
        match kind:
            case "Step":
                steps.append(_step(values))
            case "ForwardPass":
                passes.append(ForwardPass(**values, step=len(steps)))
            case "PrintedLine":
                lines.append(PrintedLine(**values, step=len(steps)))
            case _:
                end = _end(values)
    return Trace(steps, end, passes, lines)


def _step(values: dict[str, Any]) -> Step:
    return Step(**{**values, "lr": tuple(values["lr"]), "loss": tuple(values["loss"])})


def _end(values: dict[str, Any]) -> End:
    weights = tuple(tuple(Weight(**weight) for weight in optimizer) for optimizer in values["weights"])
    lists = {name: tuple(values[name]) for name in ("seeds", "synthetic")}
    return End(**{**values, **lists, "weights": weights})
