"""What a script does, seen by running it in this process: its optimizer steps, and the results it prints.

Both sides of a conversion run from source text, each in a fresh namespace, in a folder of its own, from the same seed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from litify_converter.convert import convert_script
from litify_converter.read import parse

SEED = 7
RESULT = "R:"  # lines a script prints with this in front are its results; both sides must print them alike
QUIET = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}
MOST_STEPS = 400  # a loop that never ends is a difference, not a test that hangs


@dataclass(frozen=True)
class Step:
    """One optimizer step: which optimizer, its learning rates, the weights that it left behind."""

    optimizer: int  # in the order in which optimizers took their first step
    rates: tuple[float, ...]
    weights: str


@dataclass
class Trajectory:
    """All steps of one run, its result lines, and how it ended (None: by itself)."""

    steps: list[Step] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)  # everything, results included
    error: str | None = None


class TooManySteps(Exception):
    """A run went on after MOST_STEPS steps."""


def run(text: str, argv: tuple[str, ...] = ()) -> Trajectory:
    """Run a script's text as the main program and record it; an exception it raises is kept as text."""
    found = Trajectory()
    optimizers: list[torch.optim.Optimizer] = []

    def after_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not any(optimizer is known for known in optimizers):
            optimizers.append(optimizer)
        number = next(i for i, known in enumerate(optimizers) if known is optimizer)
        groups = optimizer.param_groups
        digest = hashlib.sha1()
        for group in groups:
            for weight in group["params"]:
                digest.update(weight.detach().contiguous().numpy().tobytes())
        rates = tuple(float(group["lr"]) for group in groups)
        found.steps.append(Step(number, rates, digest.hexdigest()[:12]))
        if len(found.steps) > MOST_STEPS:
            raise TooManySteps

    out = io.StringIO()
    hook = register_optimizer_step_post_hook(after_step)
    try:
        with _alone(), contextlib.redirect_stdout(out):
            exec(compile(text, "train.py", "exec"), {"__name__": "__main__", "__file__": "train.py"})
    except SystemExit as end:
        found.error = None if end.code in (None, 0) else f"exit {end.code}"
    except Exception as error:
        found.error = f"{type(error).__name__}: {error}"
    finally:
        hook.remove()
    found.printed = out.getvalue().splitlines()
    found.results = [line for line in found.printed if line.startswith(RESULT)]
    return found


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A folder, seeds, an argument list and a quiet Trainer of one's own."""
    random.seed(SEED)
    torch.manual_seed(SEED)
    before, argv, flags = os.getcwd(), sys.argv, os.environ.get("LITIFY_TRAINER_FLAGS")
    handlers = logging.root.handlers[:]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["LITIFY_TRAINER_FLAGS"] = json.dumps(QUIET)
        os.chdir(folder)
        sys.argv = ["train.py"]
        try:
            yield
        finally:
            os.chdir(before)
            sys.argv = argv
            logging.root.handlers[:] = handlers
            os.environ.pop("LITIFY_TRAINER_FLAGS")
            if flags is not None:
                os.environ["LITIFY_TRAINER_FLAGS"] = flags


NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?|-?\d+|nan|inf")


def difference(raw: Trajectory, lit: Trajectory) -> str | None:
    """The first thing in which two runs differ, or None. Steps must agree to the bit, printed results to 1e-4."""
    if raw.error != lit.error:
        return f"raw ended with {raw.error}, converted with {lit.error}"
    for at, (left, right) in enumerate(zip(raw.steps, lit.steps, strict=False)):
        if left != right:
            return f"step {at}: {left} became {right}"
    if len(raw.steps) != len(lit.steps):
        return f"{len(raw.steps)} steps became {len(lit.steps)}"
    if len(raw.results) != len(lit.results):
        return f"{len(raw.results)} result lines became {len(lit.results)}: {raw.results} {lit.results}"
    unmatched = list(lit.results)  # validation runs before on_train_epoch_end, so lines may change places
    for one in raw.results:
        match = next((other for other in unmatched if alike(one, other)), None)
        if match is None:
            return f"result {one!r} is missing in {unmatched}"
        unmatched.remove(match)
    return None


def alike(one: str, other: str) -> bool:
    """The same text, its numbers equal within single precision summed in another order."""
    left, right = NUMBER.findall(one), NUMBER.findall(other)
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    return [float(v) for v in left] == pytest.approx(
        [float(v) for v in right], rel=1e-4, abs=1e-5, nan_ok=True
    )


def converted(text: str, style: str = "auto") -> str:
    """The conversion of a script's text."""
    return convert_script(parse(text, Path("train.py")), style=style).text


def check_same_steps(text: str, style: str = "auto") -> str:
    """Promise 1: script and conversion take the same steps and print the same results. Returns the conversion."""
    result = converted(text, style)
    raw, lit = run(text), run(result)
    assert raw.error is None, f"the script itself fails: {raw.error}\n{text}"
    assert raw.steps, f"the script takes no step\n{text}"
    found = difference(raw, lit)
    assert found is None, f"{found}\n--- script\n{text}\n--- conversion\n{result}"
    return result
