"""One call of fit, validate, test or predict: what comes before its loop, what after, also when it fails."""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING, Any

import torch

from litify import checkpoint, evaluate
from litify.compiling import compile_networks
from litify.errors import (
    CheckpointError,
    Interrupted,
    MisconfigurationException,
    SearchOver,
    SIGTERMException,
    WorkersDone,
)
from litify.fit import fit
from litify.hooks import HookTable, is_overridden, replaced
from litify.hparams import clean_namespace
from litify.job import EvalJob, FitJob
from litify.metrics import scalars
from litify.module import LightningModule
from litify.optim import configure
from litify.rank_zero import PossibleUserWarning, say, warn
from litify.signals import batch_first
from litify.state import Phase, RunningStage, TrainerFn, TrainerStatus
from litify.summary import start_block

if TYPE_CHECKING:
    from litify.trainer import Trainer

STAGES = {
    TrainerFn.FITTING: RunningStage.TRAINING,
    TrainerFn.VALIDATING: RunningStage.VALIDATING,
    TrainerFn.TESTING: RunningStage.TESTING,
    TrainerFn.PREDICTING: RunningStage.PREDICTING,
}
KINDS = {TrainerFn.VALIDATING: "validation", TrainerFn.TESTING: "test", TrainerFn.PREDICTING: "predict"}


def call(
    trainer: Trainer,
    fn: TrainerFn,
    module: LightningModule,
    ckpt_paths: list[str],
    weights_only: bool | None,
    **options: Any,
) -> Any:
    """Run `fn` on `module`, and clean up whatever happens.

    Raises:
        Interrupted: after Ctrl-C, with checkpoint and loggers written; a SystemExit with code 130.
    """
    state = trainer.state
    state.fn, state.stage, state.status = fn, STAGES[fn], TrainerStatus.RUNNING
    method, child = trainer.strategy.start_method, multiprocessing.parent_process() is not None
    try:
        if method == "popen" or child or trainer.strategy.cluster_environment.creates_processes_externally:
            answer = _run(trainer, module, fn, ckpt_paths, weights_only, options)
        else:
            from litify import spawn  # rarely needed

            answer = spawn.run(method, trainer, module, _run, fn, ckpt_paths, weights_only, options)
    except WorkersDone:
        raise
    except SearchOver:
        trainer.strategy.teardown()
        _teardown(trainer, module, trainer.hooks, fn)
        answer = None
    except KeyboardInterrupt as error:
        # A second Ctrl-C must not cut the checkpoint short.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            message = _stopped(trainer, error, "interrupted")
        finally:
            signal.signal(signal.SIGINT, before)
        raise Interrupted(message) from None
    except SIGTERMException as error:
        _stopped(trainer, error, "terminated")
        raise
    except BaseException as error:
        _failed(trainer, error)
        raise
    state.status = TrainerStatus.FINISHED
    trainer.leave()
    return answer


def _run(
    trainer: Trainer,
    module: LightningModule,
    fn: TrainerFn,
    ckpt_paths: list[str],
    weights_only: bool | None,
    options: dict[str, Any],
) -> Any:
    strategy, fitting = trainer.strategy, fn is TrainerFn.FITTING
    module.trainer = trainer
    trainer.loggable = [child for child in module.modules() if isinstance(child, LightningModule)]
    trainer.attach_callbacks(module)
    hooks = trainer.hooks = HookTable(trainer, trainer.callbacks, module)
    trainer.results = None  # setup hooks cannot log
    _verify(trainer, module, fn)
    strategy.setup_environment()
    if trainer.profiler.active:
        trainer.profiler.module = module
        rank = trainer.local_rank if trainer.world_size > 1 else None
        trainer.profiler.setup(stage=str(fn), local_rank=rank, log_dir=trainer.log_dir)
    _prepare_data(trainer, module)
    trainer.resumed_from = ckpt_paths[0] if fitting and ckpt_paths else None  # setup hooks may ask
    _setup(trainer, module, hooks, fn)
    later = strategy.restore_checkpoint_after_setup
    kept = None if later else _restore(trainer, module, ckpt_paths, weights_only, fitting)
    if trainer.compiler is not None:
        compile_networks(module, trainer.compiler)
    strategy.setup(trainer)
    if later:
        kept = _restore(trainer, module, ckpt_paths, weights_only, fitting)
    trainer.forget_metrics()
    answer = None
    if fitting:
        _fit(trainer, module, hooks, kept)
    else:
        answer = _evaluate(trainer, module, hooks, fn, options)
    strategy.teardown()
    trainer.profiler.describe()
    if fitting:
        hooks.call("on_fit_end")
    _teardown(trainer, module, hooks, fn)
    for logger in trainer.loggers:
        logger.finalize("success")
    return answer


def _restore(
    trainer: Trainer, module: LightningModule, paths: list[str], weights_only: bool | None, fitting: bool
) -> dict[str, Any] | None:
    """Load the first of these checkpoints that is whole and of this module; returns it, None where there are none.

    Raises:
        CheckpointError: none is.
    """
    kept = None
    paths = trainer.strategy.broadcast(paths)  # nodes may see different files
    for index, path in enumerate(paths):
        trainer.ckpt_path = path
        trainer.resumed_from = path if fitting else None
        try:
            kept = trainer.strategy.load_checkpoint(path, weights_only)
            checkpoint.restore_module(trainer, module, kept, path, fitting)
            break
        except CheckpointError as error:
            if index + 1 == len(paths):
                raise
            warn(f"{error} The one before it is tried: {paths[index + 1]}")
    else:
        trainer.ckpt_path = trainer.resumed_from = None
    return kept


def _prepare_data(trainer: Trainer, module: LightningModule) -> None:
    """prepare_data in one process per node, or in one altogether; the others wait."""
    for owner in (trainer.datamodule, module):
        if owner is not None and replaced("prepare_data", owner):
            if trainer.local_rank == 0 if owner.prepare_data_per_node else trainer.is_global_zero:
                (
                    checkpoint.data_hook(trainer, "prepare_data")
                    if owner is trainer.datamodule
                    else owner.prepare_data
                )()
            trainer.strategy.barrier("prepare_data")


def _setup(trainer: Trainer, module: LightningModule, hooks: HookTable, fn: TrainerFn) -> None:
    for logger in trainer.loggers:
        _ = getattr(logger, "experiment", None)  # opens files now, so that setup hooks can write
    if trainer.datamodule is not None:
        checkpoint.data_hook(trainer, "setup")(stage=fn)
    hooks.call("setup", stage=fn)
    trainer.strategy.barrier("setup")
    if replaced("configure_model", module):
        with trainer.strategy.precision.module_init_context():
            module.configure_model()


def _teardown(trainer: Trainer, module: LightningModule, hooks: HookTable, fn: TrainerFn) -> None:
    if trainer.datamodule is not None:
        checkpoint.data_hook(trainer, "teardown")(stage=fn)
    hooks.call("teardown", stage=fn)


def _fit(trainer: Trainer, module: LightningModule, hooks: HookTable, kept: dict[str, Any] | None) -> None:
    job = trainer.job = FitJob(trainer, module, hooks)
    optimizers, configs = configure(module, module.configure_optimizers())
    job.take_optimizers(trainer.strategy.setup_optimizers(optimizers), configs)
    if has_validation(trainer, module):
        job.validation = EvalJob(trainer, module, hooks, "validation")
    trainer.eval_job = job.validation
    hooks.call("on_fit_start")
    for owner in (module, trainer.datamodule):
        if owner is not None:
            clean_namespace(owner.hparams)
    trainer.log_hyperparameters(module)
    module.zero_grad()  # gradients of an earlier call
    if kept is not None:
        job.resume = checkpoint.restore_training(trainer, job, kept)
        job.without_metrics = not job.resume and trainer.state.phase is not Phase.BETWEEN
        if trainer.state.phase not in (Phase.BETWEEN, Phase.EPOCH_END):
            job.resumed_epoch = trainer.state.epoch
    resting = sum(not child.training for child in module.modules())
    if resting:
        warn(
            f"{resting} module(s) are in eval mode as fit begins, and stay so: call .train() on them, unless that is meant.",
            PossibleUserWarning,
        )
    if trainer.enable_model_summary:
        block = start_block(trainer, module)  # on every rank: the run folder is agreed on by all of them
        if trainer.is_global_zero:
            say(block)
    with torch.autograd.set_detect_anomaly(trainer.detect_anomaly), batch_first(trainer):
        fit(job)


def _evaluate(
    trainer: Trainer, module: LightningModule, hooks: HookTable, fn: TrainerFn, options: dict[str, Any]
) -> Any:
    job = trainer.eval_job = EvalJob(trainer, module, hooks, KINDS[fn])
    module.zero_grad()  # their memory is wanted
    trainer.enter(STAGES[fn], job.results)
    if fn is TrainerFn.PREDICTING:
        keep = _keeps_predictions(trainer, options["return_predictions"])
        predictions = evaluate.predict(job, keep, trainer.inference_mode)
        return (predictions[0] if len(predictions) == 1 else predictions) if keep else None
    logged = evaluate.evaluate(job, inference_mode=trainer.inference_mode)
    answers = [scalars(metrics) for metrics in logged]
    if options["verbose"] and trainer.is_global_zero:
        print_results(answers, job.kind)
    return answers


def _keeps_predictions(trainer: Trainer, asked: bool | None) -> bool:
    """Whether predict returns something; the processes of spawn and fork each have but a part, which would be lost.

    Raises:
        MisconfigurationException: asked for where it cannot be done.
    """
    spawned = trainer.strategy.start_method != "popen"
    if spawned and asked:
        raise MisconfigurationException(
            "Trainer.predict(return_predictions=True) cannot return what other processes made from this one predict: pass False, and "
            "write predictions by a BasePredictionWriter callback."
        )
    return not spawned if asked is None else asked


def has_validation(trainer: Trainer, module: LightningModule) -> bool:
    """Whether fit validates: there is a validation_step, there is data for it, and batches are allowed."""
    if trainer.limit_val_batches == 0 or not is_overridden("validation_step", module):
        return False
    return has_loader(trainer, module, "val")


def has_loader(trainer: Trainer, module: LightningModule, short: str) -> bool:
    """Whether there is data of a kind: given to the Trainer, or by the module or its data module."""
    name, owner = f"{short}_dataloader", trainer.datamodule
    return (
        trainer.sources.get(short) is not None
        or is_overridden(name, module)
        or (owner is not None and is_overridden(name, owner))
    )


def _verify(trainer: Trainer, module: LightningModule, fn: TrainerFn) -> None:
    """Refuse modules that lack what `fn` needs, before anything is set up.

    Raises:
        MisconfigurationException: what is missing, and where to put it.
    """
    name = type(module).__name__
    if fn is TrainerFn.FITTING:
        for method in ("training_step", "configure_optimizers"):
            if not is_overridden(method, module):
                raise MisconfigurationException(f"{name} has no {method}, which fit needs; define it.")
        _verify_manual(trainer, module)
        step, loader = is_overridden("validation_step", module), has_loader(trainer, module, "val")
        if loader and not step:
            warn(f"There is validation data, but {name} has no validation_step: validation is left out.")
        elif step and not has_validation(trainer, module) and trainer.limit_val_batches != 0:
            warn(f"{name} has a validation_step, but there is no validation data: validation is left out.")
        return
    method = f"{KINDS[fn]}_step"
    if method != "predict_step" and not is_overridden(method, module):
        raise MisconfigurationException(f"{name} has no {method}, which Trainer.{fn} needs; define it.")
    if getattr(module, method) is None:
        raise MisconfigurationException(f"{name}.{method} is None; define it, or leave it as it was.")
    if (
        method == "predict_step"
        and not is_overridden(method, module)
        and not is_overridden("forward", module, torch.nn.Module)
    ):
        raise MisconfigurationException(
            f"{name} has neither predict_step nor forward, so it cannot predict; define one."
        )


def _verify_manual(trainer: Trainer, module: LightningModule) -> None:
    if module.automatic_optimization or getattr(module, "steps_by_index", False):
        return
    for argument, off in (("gradient_clip_val", None), ("accumulate_grad_batches", 1)):
        value = getattr(trainer, argument)
        if value is not off and value != off:
            raise MisconfigurationException(
                f"Trainer({argument}={value}) has no effect under manual optimization: leave it out and do it in training_step"
                + (" with self.clip_gradients." if argument == "gradient_clip_val" else ".")
            )


def _stopped(trainer: Trainer, error: BaseException, how: str) -> str:
    """Clean up after a signal and say where training stood, and what it can go on from. Returns the first part of that."""
    path = _failed(trainer, error)
    message = f"{how} at epoch {trainer.state.epoch}, step {trainer.state.optimizer_steps}"
    say(f"litify: {message}" + (f"; go on with ckpt_path={str(path)!r}" if path else ""))
    return message


def _failed(trainer: Trainer, error: BaseException) -> Any:
    """Hooks of exceptions, loggers closed, strategy torn down. Returns the checkpoint kept after a signal, if one was."""
    trainer.state.status = TrainerStatus.INTERRUPTED
    path = None
    try:
        if trainer.hooks is not None:
            for hook in trainer.hooks.all("on_exception"):
                hook(error)
        if trainer.datamodule is not None:
            trainer.datamodule.on_exception(error)
        if isinstance(error, (KeyboardInterrupt, SIGTERMException)) and trainer.state.fn is TrainerFn.FITTING:
            path = checkpoint.keep_interrupted(trainer)
    finally:
        trainer.profiler.teardown(str(trainer.state.fn))
        for logger in trainer.loggers:
            logger.finalize("failed")
        trainer.strategy.teardown()
        trainer.leave()
    return path


def print_results(answers: list[dict[str, float]], kind: str) -> None:
    """Metrics of an evaluation as a table: a row per metric, a column per loader."""
    rows: dict[str, dict[int, str]] = {}
    for column, metrics in enumerate(answers):
        for name, value in metrics.items():
            rows.setdefault(name.split("/dataloader_idx_")[0], {})[column] = f"{value:.6g}"
    if not rows:
        return
    width = max(len(name) for name in rows)
    title = kind.replace("validation", "validate")
    head = [f"loader {column}" for column in range(len(answers))] if len(answers) > 1 else [""]
    print(f"{title + ' metric':<{width}}  " + "  ".join(f"{text:>12}" for text in head))
    for name, values in sorted(rows.items()):
        print(
            f"{name:<{width}}  "
            + "  ".join(f"{values.get(column, ''):>12}" for column in range(len(answers)))
        )
