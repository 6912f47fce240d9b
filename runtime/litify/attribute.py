"""Attributes such as `lr` or `batch_size`, wherever they live: on the module, its data module, or in the hparams of either."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litify.module import LightningModule


def _holders(module: LightningModule, name: str) -> list[Any]:
    """Everything that holds the attribute, the one that counts last: data module before module, its hparams first."""
    trainer = module._trainer
    owners: list[Any] = [module, trainer.datamodule if trainer is not None else None]
    found: list[Any] = []
    for owner in owners:
        if owner is None:
            continue
        if hasattr(owner, name):
            found.append(owner)
        hparams = getattr(owner, "hparams", {})
        if name in hparams:
            found.append(vars(hparams) if isinstance(hparams, Namespace) else hparams)
    return found


def lightning_hasattr(module: LightningModule, name: str) -> bool:
    """Whether module, data module or their hparams have the attribute."""
    return bool(_holders(module, name))


def lightning_getattr(module: LightningModule, name: str) -> Any:
    """The attribute's value.

    Raises:
        AttributeError: nobody has it.
    """
    holder = _known(module, name)[-1]
    return holder[name] if isinstance(holder, dict) else getattr(holder, name)


def lightning_setattr(module: LightningModule, name: str, value: Any) -> None:
    """Set the attribute in all places that have it.

    Raises:
        AttributeError: nobody has it.
    """
    for holder in _known(module, name):
        if isinstance(holder, dict):
            holder[name] = value
        else:
            setattr(holder, name, value)


def _known(module: LightningModule, name: str) -> list[Any]:
    found = _holders(module, name)
    if not found:
        raise AttributeError(
            f"Neither {type(module).__name__} nor its data module has {name!r}, as an attribute or in hparams; set it in __init__."
        )
    return found
