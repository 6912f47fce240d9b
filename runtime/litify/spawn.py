"""Processes made from this one, by fork or spawn, where starting the script again is not possible or not wanted (a notebook).

Each runs the same call of the Trainer; what rank 0 ends with comes back to this process: answer, weights, counters, metrics and
the state of callbacks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.spawn import start_processes

from litify.errors import MisconfigurationException
from litify.hooks import HookTable
from litify.seed import rng_state, set_rng_state

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

METRICS = ("_callback_metrics", "_logged_metrics", "_bar_metrics")


def run(
    method: str, trainer: Trainer, module: LightningModule, function: Callable[..., Any], *args: Any
) -> Any:
    """`function(trainer, module, *args)` in as many processes as the strategy has devices; returns rank 0's answer.

    Args:
        method: "fork", "spawn" or "forkserver". The latter two pickle Trainer, module and data.

    Raises:
        MisconfigurationException: forking after CUDA was used, which it does not survive.
        torch.multiprocessing.ProcessRaisedException: a process failed; its traceback is in the message.
    """
    if method == "fork" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise MisconfigurationException(
            "CUDA was used before the processes are forked, which it does not survive: restart the notebook, and touch no GPU "
            "before Trainer.fit (no .cuda(), no torch.cuda.* calls)."
        )
    environment = trainer.strategy.cluster_environment
    variables = {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "NODE_RANK": str(environment.node_rank()),
    }
    trainer.forget_jobs()  # they hold what cannot be pickled
    with tempfile.TemporaryDirectory(prefix="litify_spawn_") as folder:
        answer = Path(folder) / "answer.pt"
        settings = (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, rng_state())
        try:
            start_processes(  # type: ignore[no-untyped-call]
                _process,
                args=(trainer, module, function, args, answer, variables, settings),
                nprocs=trainer.num_devices,
                start_method=method,
            )
        except Exception:
            trainer.hooks = HookTable(
                trainer, trainer.callbacks, module
            )  # for on_exception in this process, too
            raise
        kept = torch.load(answer, weights_only=False) if answer.exists() else None
    return _take(trainer, module, kept) if kept is not None else None


def _process(
    local_rank: int,
    trainer: Trainer,
    module: LightningModule,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    answer: Path,
    variables: dict[str, str],
    settings: tuple[bool, bool, dict[str, Any]],
) -> None:
    from litify.strategies.ddp import leave_group

    os.environ.update(variables, LOCAL_RANK=str(local_rank))
    deterministic, torch.backends.cudnn.benchmark, random_state = settings
    torch.use_deterministic_algorithms(deterministic)
    set_rng_state({key: value for key, value in random_state.items() if key != "torch.cuda"})
    found = function(trainer, module, *args)
    if trainer.is_global_zero:
        kept = {
            "answer": found,
            "weights": module.state_dict(),
            "state": trainer.state,
            "metrics": [getattr(trainer, name) for name in METRICS],
            "callbacks": [callback.state_dict() for callback in trainer.callbacks],
        }
        torch.save(kept, answer)
    trainer.strategy.barrier("answer")
    leave_group()


def _take(trainer: Trainer, module: LightningModule, kept: dict[str, Any]) -> Any:
    module.load_state_dict(kept["weights"])
    vars(trainer.state).update(vars(kept["state"]))
    for name, metrics in zip(METRICS, kept["metrics"], strict=True):
        setattr(trainer, name, metrics)
    for callback, state in zip(trainer.callbacks, kept["callbacks"], strict=True):
        if state:
            callback.load_state_dict(state)
    return kept["answer"]
