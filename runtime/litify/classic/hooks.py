"""Hooks of modules and callbacks with the arguments that Lightning 0.7 to 1.x gave them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from litify.classic.hints import hint

if TYPE_CHECKING:
    from litify.callbacks.base import Callback

# What each hook is called with today.
TODAY = {
    "backward": ("loss",),
    "optimizer_step": ("epoch", "batch_idx", "optimizer", "optimizer_closure"),
    "optimizer_zero_grad": ("epoch", "batch_idx", "optimizer"),
    "on_before_optimizer_step": ("optimizer",),
    "configure_gradient_clipping": ("optimizer", "gradient_clip_val", "gradient_clip_algorithm"),
    "lr_scheduler_step": ("scheduler", "metric"),
    "on_train_batch_start": ("batch", "batch_idx"),
    "on_train_batch_end": ("outputs", "batch", "batch_idx"),
}
SYNONYMS = {
    "epoch_nb": "epoch", "current_epoch": "epoch", "batch_nb": "batch_idx", "second_order_closure": "optimizer_closure",
    "closure": "optimizer_closure",
}  # fmt: skip
# dict[str, Any] that are no more, and the value they get; the optimizer's index is that of the running one.
GONE = {
    "use_amp": False, "on_tpu": False, "using_native_amp": False, "using_lbfgs": False, "dataloader_idx": 0,
    "optimizer_idx": 0, "opt_idx": 0, "optimizer_i": 0,
}  # fmt: skip
INDICES = ("optimizer_idx", "opt_idx", "optimizer_i")


def _with_todays_arguments(function: Any, hook: str, leading: int) -> Any:
    """The hook as it is called today, around one that takes classic arguments; None where it takes today's.

    Args:
        leading: how many arguments come before the hook's own: self, or self, trainer and module.
    """
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind in positional]
    names = [parameter.name for parameter in parameters][leading:]
    today = TODAY[hook]
    if not GONE.keys() & set(names) and not (hook == "backward" and "optimizer" in names):
        return None
    hint(f"{hook}({', '.join(names)})", f"{hook}({', '.join(today)})")

    @wraps(function)
    def translated(*args: Any, **kwargs: Any) -> Any:
        before, own = args[:leading], args[leading:]
        if len(own) == len(names):  # a subclass calls with classic arguments
            return function(*args, **kwargs)
        module = before[-1]
        index = getattr(module, "_optimizer_idx", 0)
        values = {**dict(zip(today, own, strict=False)), **kwargs}
        if hook == "optimizer_step":
            values["optimizer_closure"] = _computed_first(values)
        wanted = [SYNONYMS.get(name, name) for name in names]
        left = [
            value for name, value in values.items() if name not in wanted
        ]  # for arguments with names of their own
        values = {**GONE, **dict.fromkeys(INDICES, index), **values}
        if hook == "backward":
            values["optimizer"] = module.trainer.optimizers[index]
        chosen = {
            name: values[meant] if meant in values else left.pop(0)
            for name, meant in zip(names, wanted, strict=True)
            if meant in values or left
        }
        return function(*before, **chosen)

    return translated


def _computed_first(values: dict[str, Any]) -> Callable[[], Any]:
    """Gradients computed before a classic optimizer_step, which may step without a closure; LBFGS needs the closure itself."""
    closure: Callable[[], Any] = values["optimizer_closure"]
    if "LBFGS" in type(values["optimizer"]).__name__:
        return closure
    loss = closure()
    return lambda: loss


def modernize_callback(cls: type[Callback]) -> None:
    """Bring hooks of a new Callback class to today's arguments."""
    for hook in ("on_train_batch_start", "on_train_batch_end", "on_before_optimizer_step"):
        if hook in vars(cls) and (wrapped := _with_todays_arguments(vars(cls)[hook], hook, 3)) is not None:
            setattr(cls, hook, wrapped)


# -- modules ------------------------------------------------------------------------------------------------------------

STEP_ENDS = {
    "training_step": ("training_step_end", "training_end"),
    "validation_step": ("validation_step_end",),
    "test_step": ("test_step_end",),
}
EPOCH_ENDS = {
    "train": ("training_epoch_end",),
    "validation": ("validation_epoch_end", "validation_end"),
    "test": ("test_epoch_end", "test_end"),
}


def modernize_module(cls: type[Any]) -> None:
    """Bring hooks of a new LightningModule class to today's arguments, and its training_step to today's ways."""
    own = vars(cls)
    for hook in TODAY.keys() & own.keys():
        if (
            inspect.isfunction(own[hook])
            and (wrapped := _with_todays_arguments(own[hook], hook, 1)) is not None
        ):
            setattr(cls, hook, wrapped)
    for step, ends in STEP_ENDS.items():
        end = next((name for name in ends if hasattr(cls, name)), None)
        if end is not None and (step in own or end in own):
            hint(f"{end}(outputs)", f"the end of {step}")
            setattr(cls, step, _followed_by(getattr(cls, step), end))
    function = own.get("training_step")
    by_index = inspect.isfunction(function) and "optimizer_idx" in inspect.signature(function).parameters
    if by_index or getattr(cls, "steps_by_index", False):
        from litify.classic import by_index as several  # for those who need it

        several.modernize(cls, by_index)


def _followed_by(step: Any, end: str) -> Any:
    """A step whose result goes through `end`; once, also where it calls that of its base class."""

    @wraps(step)
    def followed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if vars(self).get("_in_step"):
            return step(self, *args, **kwargs)
        self.__dict__["_in_step"] = True
        try:
            return getattr(self, end)(step(self, *args, **kwargs))
        finally:
            self.__dict__["_in_step"] = False

    return followed


def callbacks_for(module: Any) -> list[Any]:
    """What a module needs that has *_epoch_end(outputs), dictionaries to log, or steps by optimizer_idx; nothing for others."""
    found: list[Any] = []
    ends = any(hasattr(module, name) for names in EPOCH_ENDS.values() for name in names)
    if ends or _returns_logs(type(module)):
        from litify.classic.outputs import ClassicOutputs  # for those who need it

        found.append(ClassicOutputs())
    if getattr(module, "steps_by_index", False):
        from litify.classic.by_index import ByIndex

        found.append(ByIndex())
    return found


def _returns_logs(cls: type[Any]) -> bool:
    """Whether a training_step, its own or inherited, has the keys "log" or "progress_bar" of a classic result in its code."""
    for base in cls.__mro__:
        function = vars(base).get("training_step")
        code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
        if code is not None:
            keys = {
                key for const in code.co_consts for key in (const if isinstance(const, tuple) else (const,))
            }
            if keys & {"log", "progress_bar"} and "loss" in keys:
                return True
    return False
