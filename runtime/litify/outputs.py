"""What `training_step` may return, and what is said where it returns something else."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from litify.errors import MisconfigurationException
from litify.rank_zero import warn


def loss_of(output: Any) -> Tensor | None:
    """The loss in what training_step returned; None where it skips the batch.

    Raises:
        MisconfigurationException: there is no loss in it.
    """
    loss = output.get("loss") if isinstance(output, dict) else output
    if isinstance(output, dict) and "loss" not in output:
        raise MisconfigurationException(
            f"training_step returned a dictionary without 'loss' (keys {sorted(map(str, output))}); put the loss there."
        )
    if loss is None:
        warn("training_step returned None: the batch is skipped.")
    elif not isinstance(loss, Tensor):
        raise MisconfigurationException(
            f"training_step returned {type(loss).__name__}; return the loss as a tensor, a dictionary with 'loss', or None to skip. "
            "Call self.automatic_optimization = False in __init__ if the step optimizes by itself."
        )
    return loss


def check_loss(loss: Tensor) -> None:
    """Say what is wrong with a loss that backward refused.

    Raises:
        RuntimeError: it is no single number, or does not depend on any parameter.
    """
    if loss.numel() != 1:
        raise RuntimeError(
            f"training_step returned a loss of {loss.numel()} elements, which has no gradient; return one number, e.g. its .mean()."
        ) from None
    if not loss.requires_grad:
        raise RuntimeError(
            "training_step returned a loss that has no gradient: it does not depend on a parameter that requires one, or was detached."
        ) from None


def as_outputs(output: Any) -> dict[str, Any]:
    """What on_train_batch_end gets: a dictionary, detached."""
    if output is None:
        return {}
    if isinstance(output, Tensor):
        return {"loss": output.detach()}
    return {key: value.detach() if isinstance(value, Tensor) else value for key, value in output.items()}


def refuse_no_loss(module: Any, world_size: int) -> None:
    """A batch without a loss, in one of several processes.

    Raises:
        RuntimeError: always; the others would wait for this one's gradients.
    """
    raise RuntimeError(
        f"{type(module).__name__}.training_step returned None in one of {world_size} processes, and the others would wait for its "
        "gradients for ever: return a loss, 0 * loss for a batch to be skipped."
    )
