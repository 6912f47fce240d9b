"""What the Trainer asks of a numeric precision. The base class is full precision, and does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

Closure = Callable[[], Any]


class Precision:
    """One precision, as in `Trainer(precision=...)`. A subclass overrides only what differs from 32-bit training.

    `autocasts` and `converts_input` are read once, at the start: a precision that leaves them False costs a step nothing.
    """

    name: ClassVar[str] = "32-true"
    autocasts: ClassVar[bool] = False
    """Whether steps run inside `forward_context()`."""
    converts_input: ClassVar[bool] = False
    """Whether batches go through `convert_input` before the step."""

    def __init__(self, device_type: str = "cpu") -> None:
        self.device_type = device_type

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Cast the module's weights, in place, once, before the optimizers are made."""
        return module

    def convert_input(self, batch: Any) -> Any:
        """Cast the floating point tensors of a batch."""
        return batch

    def module_context(self) -> AbstractContextManager[Any]:
        """Active while the module makes weights in `configure_model`."""
        return nullcontext()

    def forward_context(self) -> AbstractContextManager[Any]:
        """Active around training_step, validation_step, test_step and predict_step."""
        return nullcontext()

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
            return optimizer.step(closure)

        def closure_and_hooks() -> Any:
            loss = closure()
            before_step()
            return loss

        return optimizer.step(closure_and_hooks)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps (a loss scale), or an empty dict."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
