"""Runs one script as `python SCRIPT ARGS` would and writes down every optimizer step.

This is the child side, started by `run.py`. Everything is set up before the script's first line: random seeds,
the guard over the user's files, hooks on every optimizer. Processes that the script starts through
multiprocessing (spawn, forkserver, fork) record too.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import multiprocessing.spawn
import multiprocessing.util
import os
import random
import sys
import time
import traceback
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TextIO

import torch

from litify_converter.verify import guard, keyed, synthetic
from litify_converter.verify.trace import End, ForwardPass, PrintedLine, Settings, Step, Weight, to_line
from litify_converter.verify.watch import plain, watch_lines, watch_passes

_DOWNLOAD_ERRORS = (
    "URLError",
    "HTTPError",
    "ConnectionError",
    "gaierror",
    "SSLError",
    "OfflineModeIsEnabled",
)
# said by torchvision, and by a sampler over files of which a pattern found none
_MISSING_DATA = ("dataset not found", "error downloading", "num_samples=0")
_CHUNK = 1 << 20  # elements fingerprinted at once, so that a large layer is never held twice in float64


def main() -> NoReturn:
    """Run the script named in the settings; argv is [-c, settings as JSON, *script arguments]."""
    settings = Settings.from_json(sys.argv[1])
    script_args = sys.argv[2:]
    sys.path.pop(0)  # put there by the starter to find this package
    recorder = install(settings, role="main")
    sys.argv = [settings.argv0, *script_args]
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, os.path.dirname(settings.script))
    try:
        _run_as_main(settings.script)
    except SystemExit as leaving:
        recorder.finish(End("exit"))
        raise leaving
    except BaseException as error:
        recorder.finish(_failure(error, settings.tree))
        _print_from_script(error, settings.script)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)
    recorder.finish(End("exit"))
    sys.exit(0)


def install(settings: Settings, role: str) -> Recorder:
    """Seed, guard and hook this process; `role` is "main" or "child"."""
    guard.install(settings.tree, settings.protected, settings.allowed)
    _seed(settings.seed)
    recorder = Recorder(settings, role)
    recorder.hook()
    if settings.keyed:
        keyed.install()
    if settings.items is not None:
        synthetic.install(settings.items, recorder.replaced)
    _record_in_children(settings)
    return recorder


class Recorder:
    """Turns optimizer steps into lines of a trace file; owns the only mutable state of a recorded process."""

    def __init__(self, settings: Settings, role: str) -> None:
        self.settings = settings
        self.role = role
        self.pid = os.getpid()
        self.optimizers: list[torch.optim.Optimizer] = (
            []
        )  # kept alive: final weights, and no identity is reused
        self.losses: list[float] = []  # given to backward since the last step
        self.seeds: list[int] = []
        self.synthetic: dict[str, None] = {}  # data sets replaced, in order
        self.closure_lines: dict[int, str | None] = {}
        self.steps = 0
        self.file: TextIO | None = None

    def hook(self) -> None:
        from torch.optim import optimizer as optim

        optim.register_optimizer_step_pre_hook(self.before_step)
        optim.register_optimizer_step_post_hook(lambda *_: self.losses.clear())
        backward = torch.autograd.backward

        def recorded_backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            for tensor in [tensors] if isinstance(tensors, torch.Tensor) else tensors:
                if isinstance(tensor, torch.Tensor) and tensor.numel() == 1:
                    self.losses.append(float(tensor.detach()))
            backward(tensors, *args, **kwargs)

        torch.autograd.backward = recorded_backward  # Tensor.backward looks it up here
        manual_seed = torch.manual_seed

        def recorded_seed(seed: int) -> torch.Generator:
            self.seeds.append(int(seed))
            return manual_seed(seed)

        torch.manual_seed = torch.random.manual_seed = recorded_seed
        watch_passes(self.note, lambda: _innermost_line(self.settings.tree))
        watch_lines(self.note, lambda: _innermost_line(self.settings.tree))

    def note(self, seen: ForwardPass | PrintedLine) -> None:
        """Write down what happens between two steps."""
        self._write(to_line(seen))

    def replaced(self, data_set: str) -> None:
        self.synthetic[data_set] = None

    def before_step(
        self, optimizer: torch.optim.Optimizer, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Record now, or, given a closure, after its first call: only then are there gradients."""
        rest = args[1:] if args and args[0] is optimizer else args
        closure = kwargs.get("closure") or next((arg for arg in rest if callable(arg)), None)
        if closure is None:
            self.record(optimizer, _innermost_line(self.settings.tree))
            return None
        called = False

        def recorded(*closure_args: Any, **closure_kwargs: Any) -> Any:
            nonlocal called
            if called:
                return closure(*closure_args, **closure_kwargs)
            called = True
            value, line = self._call_closure(optimizer, lambda: closure(*closure_args, **closure_kwargs))
            if (
                not self.losses
                and isinstance(value, (float, torch.Tensor))
                and torch.as_tensor(value).numel() == 1
            ):
                self.losses.append(float(value))
            self.record(optimizer, line)
            return value

        new_args = tuple(recorded if arg is closure else arg for arg in args)
        return new_args, {key: recorded if value is closure else value for key, value in kwargs.items()}

    def _call_closure(
        self, optimizer: torch.optim.Optimizer, closure: Callable[[], Any]
    ) -> tuple[Any, str | None]:
        """The closure's value and the user's line that returned the loss (found on the first step, then kept)."""
        index = self._index(optimizer)
        if index in self.closure_lines:
            return closure(), self.closure_lines[index]
        value, line = _watch_returns(closure, self.settings.tree)
        self.closure_lines[index] = line or _innermost_line(self.settings.tree)
        return value, self.closure_lines[index]

    def _index(self, optimizer: torch.optim.Optimizer) -> int:
        for index, known in enumerate(self.optimizers):
            if known is optimizer:
                return index
        self.optimizers.append(optimizer)
        return len(self.optimizers) - 1

    @torch.no_grad()
    def record(self, optimizer: torch.optim.Optimizer, line: str | None) -> None:
        parameters = _parameters(optimizer)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        step = Step(
            optimizer=self._index(optimizer),
            kind=type(optimizer).__name__,
            parameters=sum(parameter.numel() for parameter in parameters),
            lr=tuple(
                None if group.get("lr") is None else float(group["lr"]) for group in optimizer.param_groups
            ),
            param_norm=_norm(parameters),
            loss=tuple(self.losses),
            grad_norm=_norm(gradients),
            where=line,
        )
        self._write(to_line(step))
        self.losses.clear()
        self.steps += 1
        if self.steps == self.settings.steps:
            self.finish(End("steps"))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)  # nothing after the last step asked for is of interest

    def finish(self, end: End) -> None:
        """Write the last line: the final weights, unless the run was cut short."""
        weights: tuple[tuple[Weight, ...], ...] = ()
        if end.reason == "exit":
            weights = tuple(tuple(map(_fingerprint, _parameters(optimizer))) for optimizer in self.optimizers)
        seeds = tuple(dict.fromkeys(self.seeds))
        self._write(to_line(replace(end, weights=weights, seeds=seeds, synthetic=tuple(self.synthetic))))

    def _write(self, line: str) -> None:
        if self.file is None or self.pid != os.getpid():  # a forked child writes a file of its own
            if self.pid != os.getpid():
                self.role, self.pid = "child", os.getpid()
            name = f"{self.role}-{_rank()}-{time.time_ns()}-{self.pid}.jsonl"
            path = os.path.join(self.settings.traces, name)
            self.file = open(path, "w")  # noqa: SIM115 (open until the process ends)
        self.file.write(line)
        self.file.flush()


def _seed(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)
    try:
        import numpy
    except ImportError:  # torch runs without it
        return
    numpy.random.seed(seed % 2**32)


def _rank() -> int:
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _norm(tensors: Sequence[torch.Tensor]) -> float:
    """Euclidean norm over all of them; summed exactly, so that their order does not matter."""
    return math.sqrt(_exact_sum([float(plain(tensor).double().square().sum()) for tensor in tensors]))


def _exact_sum(values: list[float]) -> float:
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)


@torch.no_grad()
def _fingerprint(parameter: torch.Tensor) -> Weight:
    digest = hashlib.sha256(str(tuple(parameter.shape)).encode())
    squares: list[float] = []
    products: list[float] = []
    for start, part in enumerate(torch.split(plain(parameter).cpu(), _CHUNK)):
        part = (part + 0).contiguous()  # -0.0 becomes 0.0
        digest.update(ctypes.string_at(part.data_ptr(), part.numel() * part.element_size()))
        exact = part.double()
        direction = torch.arange(len(part), dtype=torch.float64).add_(start * _CHUNK + 1).square_().cos_()
        squares.append(float(exact.square().sum()))
        products.append(float(exact.dot(direction)))
    return Weight(digest.hexdigest()[:32], math.sqrt(_exact_sum(squares)), _exact_sum(products))


def _is_users(filename: str, tree: str) -> bool:
    return filename.startswith(tree + os.sep) and "site-packages" not in filename


def _innermost_line(tree: str) -> str | None:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_users(frame.f_code.co_filename, tree):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _watch_returns(call: Callable[[], Any], tree: str) -> tuple[Any, str | None]:
    """What `call` returns, and the line of the user's outermost function inside it that returned last.

    Under a Trainer that is the end of training_step, a frame that is gone when the step is taken.
    """
    line: str | None = None
    before = sys.getprofile()

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        nonlocal line
        if event == "return" and _is_users(frame.f_code.co_filename, tree):
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"

    sys.setprofile(watch)
    try:
        return call(), line
    finally:
        sys.setprofile(before)


def _run_as_main(script: str) -> None:
    """Execute the file in a fresh `__main__`, which stays in sys.modules: pickling and spawned processes need it."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=__builtins__, __cached__=None)
    with open(script, "rb") as file:
        source = file.read()
    sys.modules["__main__"] = module
    exec(compile(source, script, "exec", dont_inherit=True), module.__dict__)


def _failure(error: BaseException, tree: str) -> End:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{frame.filename}:{frame.lineno}" for frame in frames if _is_users(frame.filename, tree)]
    if isinstance(error, SyntaxError) and _is_users(error.filename or "", tree):
        lines.append(f"{error.filename}:{error.lineno}")
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    summary = text.splitlines()[-1 if isinstance(error, SyntaxError) else 0]
    return End(
        "error",
        error=summary,
        data_missing=_is_missing_data(error),
        source=synthetic.source_of(error.__traceback__),
        where=lines[-1] if lines else None,
    )


def _is_missing_data(error: BaseException | None) -> bool:
    """A file or download that is not there, perhaps told by another error; or a folder in which nothing was found."""
    while error is not None:
        kind, text = type(error).__name__, str(error).lower()
        if isinstance(error, (FileNotFoundError, ConnectionError)) or kind in _DOWNLOAD_ERRORS:
            return True
        if any(words in text for words in _MISSING_DATA):
            return True
        error = error.__cause__ or error.__context__
    return False


def _print_from_script(error: BaseException, script: str) -> None:
    """The traceback as `python SCRIPT` would print it: from the script's first frame on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != script:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


class _InChild:
    """Travels with the start-up data of a spawned process; being unpickled there starts the recording."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __reduce__(self) -> tuple[Callable[[Settings], None], tuple[Settings]]:
        return _install_in_child, (self.settings,)


def _install_in_child(settings: Settings) -> None:
    recorder = install(settings, role="child")

    def finish() -> None:
        if recorder.steps:
            recorder.finish(End("exit"))

    multiprocessing.util.Finalize(None, finish, exitpriority=0)


def _record_in_children(settings: Settings) -> None:
    preparation_data = multiprocessing.spawn.get_preparation_data

    def with_recording(name: str) -> dict[str, Any]:
        return {**preparation_data(name), "litify_verify": _InChild(settings)}

    multiprocessing.spawn.get_preparation_data = with_recording
