"""What the Trainer asks of a numeric precision. The base class is full precision, and does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

Closure = Callable[[], Any]


class Uninitialized(TorchFunctionMode):
    """Within, torch.nn.init leaves weights as they are in memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


class GradClipAlgorithmType(str, Enum):
    """How gradients are clipped: each value, or their total norm."""

    VALUE = "value"
    NORM = "norm"

    @staticmethod
    def supported_type(name: str) -> bool:
        return name in GradClipAlgorithmType.supported_types()

    @staticmethod
    def supported_types() -> list[str]:
        return [each.value for each in GradClipAlgorithmType]


class Precision:
    """One precision, as in `Trainer(precision=...)`. A subclass overrides only what differs from 32-bit training.

    `autocasts` and `converts_input` are read once, at the start: a precision that leaves them False costs a step nothing.
    """

    precision: str = "32-true"
    """Its full name."""
    autocasts: ClassVar[bool] = False
    """Whether steps run inside `forward_context()`."""
    converts_input: ClassVar[bool] = False
    """Whether batches go through `convert_input` before the step."""

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Cast the module's weights, in place, once, before the optimizers are made."""
        return module

    def convert_input(self, batch: Any) -> Any:
        """Cast the floating point tensors of a batch."""
        return batch

    def module_init_context(self) -> AbstractContextManager[Any]:
        """Active while the module makes weights in `configure_model`, and in `Trainer.init_module`."""
        return nullcontext()

    def forward_context(self) -> AbstractContextManager[Any]:
        """Active around training_step, validation_step, test_step and predict_step."""
        return nullcontext()

    def connect(
        self, model: nn.Module, optimizers: list[Optimizer], lr_schedulers: list[Any]
    ) -> tuple[nn.Module, list[Optimizer], list[Any]]:
        """Change module, optimizers and schedulers as this precision needs them; by default as they are."""
        return model, optimizers, lr_schedulers

    def scale(self, loss: Tensor) -> Tensor:
        """The loss that backward gets. fp16 multiplies it so that small gradients survive."""
        return loss

    def unscale(self, optimizer: Optimizer) -> None:
        """Undo `scale` on the gradients, so that clipping and hooks see the true ones. At most once per step."""

    def optimizer_step(self, optimizer: Optimizer, closure: Closure, before_step: Closure | None) -> Any:
        """Run `closure` (forward, zero_grad, backward), then `before_step` (hooks, clipping), then step.

        Every optimizer gets the closure: LBFGS calls it many times, the others once.
        """
        if before_step is None:
            return optimizer.step(closure=closure)

        def closure_and_hooks() -> Any:
            loss = closure()
            before_step()
            return loss

        return optimizer.step(closure=closure_and_hooks)

    def clip_gradients(
        self, optimizer: Optimizer, clip_val: float = 0.0, gradient_clip_algorithm: str = "norm"
    ) -> None:
        """Clip in place the gradients of the optimizer's parameters, by total "norm" or each "value"; 0 does nothing."""
        if clip_val <= 0:
            return
        if gradient_clip_algorithm == GradClipAlgorithmType.VALUE:
            self.clip_grad_by_value(optimizer, clip_val)
        else:
            self.clip_grad_by_norm(optimizer, clip_val)

    def clip_grad_by_value(self, optimizer: Optimizer, clip_val: float) -> None:
        nn.utils.clip_grad_value_(parameters_of(optimizer), clip_val)

    def clip_grad_by_norm(self, optimizer: Optimizer, clip_val: float) -> None:
        nn.utils.clip_grad_norm_(parameters_of(optimizer), clip_val)

    @property
    def state_key(self) -> str:
        """Its key in a checkpoint."""
        return type(self).__qualname__

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps (a loss scale), or an empty dict."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """All parameters that the optimizer steps."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
