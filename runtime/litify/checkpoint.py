"""Checkpoints: training <-> one dictionary with Lightning's keys. `plugins/checkpoint_io.py` makes files of them.

Keys: epoch, global_step, pytorch-lightning_version, state_dict, loops, callbacks, optimizer_states, lr_schedulers,
hyper_parameters, datamodule_hyper_parameters, the precision's and the data module's class names; and, in `loops` under `litify`, what it
takes to go on exactly: the place within the epoch, random states, the latest metrics.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor

from litify import hparams
from litify.errors import CheckpointError
from litify.hooks import Hook, run
from litify.metrics import scalars
from litify.progress import from_loops, to_loops
from litify.rank_zero import warn
from litify.seed import plain, rng_state
from litify.state import Phase, State

if TYPE_CHECKING:
    from litify.job import FitJob
    from litify.module import LightningModule
    from litify.trainer import Trainer

OWN_KEY = "litify"
LIGHTNING_VERSION = "2.6.0"  # the layout of the keys; Lightning reads it to bring older files up to date
PLACE = (
    "epoch", "epochs_processed", "batch", "batch_idx", "total_batches", "is_last_batch", "optimizer_steps", "batches_stepped",
)  # fmt: skip

# -- training -> dictionary -------------------------------------------------------------------------------------------------


def dump(trainer: Trainer, weights_only: bool = False) -> dict[str, Any]:
    """The checkpoint of a training as it stands. Every rank calls this."""
    module, strategy, state = trainer.module, trainer.strategy, trainer.state
    if module is None:
        raise AttributeError(
            "There is nothing to save: the Trainer has not run a module yet. Call fit first."
        )
    job = trainer.job
    checkpoint: dict[str, Any] = {
        "epoch": state.epoch,
        "global_step": state.optimizer_steps,
        "pytorch-lightning_version": LIGHTNING_VERSION,
        "state_dict": strategy.module_state(),
        "loops": to_loops(state, module.automatic_optimization),
    }
    loaders = job.loaders.states() if job is not None and job.loaders is not None else []
    if loaders:
        checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = loaders
    if not weights_only:
        checkpoint["callbacks"] = {
            callback.state_key: kept for callback in trainer.callbacks if (kept := callback.state_dict())
        }
        checkpoint["optimizer_states"] = [
            strategy.optimizer_state(optimizer) for optimizer in trainer.optimizers
        ]
        checkpoint["lr_schedulers"] = [
            config.scheduler.state_dict() for config in trainer.lr_scheduler_configs
        ]
        kept = strategy.precision.state_dict()
        if kept:
            checkpoint[strategy.precision.state_key] = kept
        checkpoint["loops"][OWN_KEY] = _own(trainer, job)
    for owner, key in ((module, hparams.HPARAMS_KEY), (trainer.datamodule, hparams.DATA_KEY)):
        if owner is not None:
            hparams.to_checkpoint(owner, checkpoint, key)
    if trainer.datamodule is not None:
        kept = data_hook(trainer, "state_dict")()
        if kept:
            checkpoint[type(trainer.datamodule).__qualname__] = kept
    if not weights_only and trainer.hooks is not None:
        run(
            trainer.hooks.of_callbacks("on_save_checkpoint"),
            "on_save_checkpoint",
            trainer.results,
            checkpoint,
        )
    run((module.on_save_checkpoint,), "on_save_checkpoint", trainer.results, checkpoint)
    return checkpoint


def data_hook(trainer: Trainer, name: str) -> Hook:
    """A method of the data module, recorded by the profiler."""
    owner = trainer.datamodule
    return trainer.profiler.wrap(getattr(owner, name), f"[LightningDataModule]{type(owner).__name__}.{name}")


def _own(trainer: Trainer, job: FitJob | None) -> dict[str, Any]:
    state = trainer.state
    random = {"epoch_rng": plain(job.epoch_rng) if job is not None else {}, "rng": plain(rng_state())}
    ranks = trainer.strategy.gather(random)
    return {
        "format": 1,
        "phase": str(state.phase),
        **{name: getattr(state, name) for name in PLACE},
        "iterated": job is not None and job.iterator is not None,
        **random,
        "ranks": ranks if any(other != random for other in ranks) else [],
        "metrics": scalars(trainer.callback_metrics),
        "gradients": _gradients(job) if job is not None else {},
    }


def _gradients(job: FitJob) -> dict[str, Tensor]:
    """What the batches of a half-filled window have accumulated. With several processes each has its own, and they are lost."""
    state = job.state
    within = state.phase in (Phase.BATCHES, Phase.BATCH_END, Phase.VALIDATED) and not state.is_last_batch
    if not (within and job.automatic and state.batch % job.accumulate and job.strategy.world_size == 1):
        return {}
    found = job.module.named_parameters()
    return {name: parameter.grad for name, parameter in found if parameter.grad is not None}


# -- dictionary -> training -------------------------------------------------------------------------------------------------


def restore_module(
    trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any], path: Any, fitting: bool
) -> None:
    """Weights, data module and callbacks. Called after setup hooks, before anything is moved.

    Raises:
        CheckpointError: the weights are not this module's.
    """
    module.on_load_checkpoint(checkpoint)
    if "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: holds no weights (no 'state_dict'); is it a checkpoint of a Trainer?")
    try:
        trainer.strategy.load_module_state(checkpoint["state_dict"], strict=module.strict_loading)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: its weights are not those of {type(module).__name__}: {error}"
        ) from None
    datamodule = trainer.datamodule
    if datamodule is not None:
        kept = checkpoint.get(type(datamodule).__qualname__)
        if kept:
            data_hook(trainer, "load_state_dict")(kept)
    _restore_callbacks(trainer, checkpoint)


def _restore_callbacks(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    kept = checkpoint.get("callbacks")
    if kept is None:
        return
    missing = sorted(kept.keys() - {callback.state_key for callback in trainer.callbacks})
    if missing and trainer.state.fn == "fit":
        warn(
            f"The checkpoint holds the state of callbacks that this Trainer has not: {missing}. Add them to go on with their state."
        )
    assert trainer.hooks is not None
    for hook in trainer.hooks.of_callbacks("on_load_checkpoint"):
        hook(checkpoint)
    for callback in trainer.callbacks:
        if callback.state_key in kept:
            callback.load_state_dict(kept[callback.state_key])


def restore_training(trainer: Trainer, job: FitJob, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Optimizers, schedulers, loss scale, and the place in the loop. Returns what is needed within the epoch (random states).

    Raises:
        KeyError: the checkpoint holds weights only.
    """
    if "optimizer_states" not in checkpoint or "lr_schedulers" not in checkpoint:
        raise KeyError(
            "This checkpoint holds weights only (ModelCheckpoint(save_weights_only=True)), so training cannot go on from it. "
            "Load it with load_from_checkpoint to start anew from its weights."
        )
    if trainer.strategy.lightning_restore_optimizer:
        trainer.strategy.load_optimizer_state_dict(checkpoint)
    for config, kept in zip(job.configs, checkpoint["lr_schedulers"], strict=False):
        config.scheduler.load_state_dict(kept)
    kept = checkpoint.get(trainer.strategy.precision.state_key)
    if kept:
        trainer.strategy.precision.load_state_dict(kept)
    own: dict[str, Any] = checkpoint.get("loops", {}).get(OWN_KEY, {})
    if len(own.get("ranks", ())) == trainer.world_size:
        own = {**own, **own["ranks"][trainer.global_rank]}
    _restore_place(trainer.state, checkpoint, own)
    kept = checkpoint.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
    job.loader_states = kept.get("combined_loader", [])
    trainer.take_metrics(own.get("metrics", {}))
    gradients = own.get("gradients", {})
    for name, parameter in job.module.named_parameters():
        if name in gradients:
            parameter.grad = trainer.strategy.place(gradients[name], parameter)
    _check_epochs(trainer)
    return own


def _restore_place(state: State, checkpoint: dict[str, Any], own: dict[str, Any]) -> None:
    if own:
        for name in PLACE:
            setattr(state, name, own[name])
        state.phase = Phase(own["phase"])
        if (
            state.phase is Phase.EPOCH_END and not state.is_last_batch
        ):  # stopped within it: the epoch is to go on
            state.phase, state.epochs_processed = Phase.BATCHES, state.epochs_processed - 1
    elif "loops" in checkpoint:
        for name, value in from_loops(checkpoint["loops"]["fit_loop"]).items():
            setattr(state, name, value)
    else:
        state.epoch = state.epochs_processed = checkpoint["epoch"]
        state.optimizer_steps = state.batches_stepped = checkpoint["global_step"]


def _check_epochs(trainer: Trainer) -> None:
    state = trainer.state
    if trainer.max_epochs != -1 and state.epoch > trainer.max_epochs:
        from litify.errors import MisconfigurationException

        raise MisconfigurationException(
            f"The checkpoint has {state.epoch} epochs behind it, more than Trainer(max_epochs={trainer.max_epochs}); raise max_epochs."
        )


def keep_interrupted(trainer: Trainer) -> str | None:
    """Save where training stands after Ctrl-C, beside the other checkpoints. None where no checkpoints are kept."""
    callback = trainer.checkpoint_callback
    folder = getattr(callback, "dirpath", None)
    if folder is None or trainer.job is None or trainer.state.total_batches == 0:
        return None
    if (
        not trainer.strategy.saves_by_itself
    ):  # Ctrl-C meets each process somewhere else, and all must save together
        return None
    path = os.path.join(folder, "interrupted.ckpt")
    trainer.save_checkpoint(path)
    return path


def describe(state: State) -> dict[str, Any]:
    """The counters, for messages and tests."""
    return asdict(state)
