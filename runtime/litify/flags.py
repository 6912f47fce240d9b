"""How the flags of `litify run` reach the Trainer that the script makes: as JSON in one environment variable.

A variable, not an argument, because it goes through `torch.distributed.elastic` to every worker process as it is and
leaves the script's own command line alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

VARIABLE = "LITIFY_TRAINER_FLAGS"

# Flags that belong to `Trainer.fit`, not to `Trainer(...)`.
FIT_FLAGS = ("ckpt_path", "compile")

# A flag takes the place of the older spellings of the same choice too: `--devices 2` beats a script's `gpus=4`.
RIVALS = {
    "devices": ("gpus", "tpu_cores", "num_processes", "auto_select_gpus"),
    "accelerator": ("gpus", "tpu_cores", "num_processes"),
    "strategy": ("distributed_backend",),
    "precision": ("use_amp", "amp_level", "amp_backend"),
    "max_epochs": ("max_nb_epochs",),
    "limit_train_batches": ("train_percent_check", "overfit_pct"),
    "limit_val_batches": ("val_percent_check",),
    "num_nodes": ("nb_gpu_nodes",),
    "default_root_dir": ("default_save_path", "weights_save_path"),
}


def _all() -> dict[str, Any]:
    text = os.environ.get(VARIABLE)
    if not text:
        return {}
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{VARIABLE} holds no JSON ({error}); unset it, or start with `litify run`"
        ) from None
    if not isinstance(values, dict):
        raise ValueError(f"{VARIABLE} must hold a JSON object of Trainer arguments; unset it")
    return values


def given() -> dict[str, Any]:
    """Trainer arguments given on the command line of `litify run`; empty when the script was started otherwise.

    Raises:
        ValueError: the variable holds something that is not a JSON object.
    """
    return {name: value for name, value in _all().items() if name not in FIT_FLAGS}


def over(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The script's Trainer arguments with the flags laid over them; rivals of a flag in older spellings go."""
    flags = given()
    beaten = {rival for name in flags for rival in RIVALS.get(name, ())}
    kept = {name: value for name, value in arguments.items() if name not in beaten}
    return {**kept, **flags}


def ckpt_path() -> str | None:
    """The checkpoint to go on from (`--ckpt-path`), for `Trainer.fit`; None when none was given."""
    path = _all().get("ckpt_path")
    return None if path is None else str(path)


def compiles() -> bool:
    """Whether the networks are to be compiled (`--compile`)."""
    return bool(_all().get("compile"))


def hand_over(flags: Mapping[str, Any]) -> None:
    """Put `flags` where `given` of this process, and of every process it starts, finds them."""
    if flags:
        os.environ[VARIABLE] = json.dumps(dict(flags))
    else:
        os.environ.pop(VARIABLE, None)
