"""Trainer's arguments, and those of its methods, as Lightning 0.7 to 1.x had them."""

from __future__ import annotations

import ast
import inspect
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from litify import flags
from litify.classic.hints import hint
from litify.errors import MisconfigurationException

if TYPE_CHECKING:
    from litify.trainer import Trainer

P = ParamSpec("P")
T = TypeVar("T")
Arguments = dict[str, Any]

RENAMED = {
    "max_nb_epochs": "max_epochs", "min_nb_epochs": "min_epochs", "nb_gpu_nodes": "num_nodes", "nb_sanity_val_steps": "num_sanity_val_steps",
    "train_percent_check": "limit_train_batches", "val_percent_check": "limit_val_batches", "test_percent_check": "limit_test_batches",
    "overfit_pct": "overfit_batches", "default_save_path": "default_root_dir", "row_log_interval": "log_every_n_steps",
    "replace_sampler_ddp": "use_distributed_sampler", "gradient_clip": "gradient_clip_val", "terminate_on_nan": "detect_anomaly",
    "print_nan_grads": "detect_anomaly", "show_progress_bar": "enable_progress_bar",
}  # fmt: skip
WITHOUT_EFFECT = {
    "log_save_interval": "the logger's own argument", "flush_logs_every_n_steps": "the logger's own argument",
    "amp_level": "precision=", "amp_backend": "precision=", "auto_select_gpus": "devices=", "move_metrics_to_cpu": "nothing: metrics stay",
    "add_row_log_interval": "log_every_n_steps=", "prepare_data_per_node": "the attribute of this name of module or data module",
}  # fmt: skip
REFUSED = {
    "track_grad_norm": "log it in on_before_optimizer_step: self.log('grad_norm', torch.nn.utils.get_total_norm(...))",
    "truncated_bptt_steps": "split the sequence in training_step, under manual optimization",
    "multiple_trainloader_mode": "give a CombinedLoader(loaders, mode)",
    "ipus": "there is no such accelerator any more",
}
STRATEGIES = {
    "ddp", "ddp_spawn", "ddp_cpu", "ddp_notebook", "ddp_find_unused_parameters_false", "fsdp", "dp", "ddp2", "horovod"
}  # fmt: skip


def modern(given: Arguments, classic: Arguments) -> Arguments:
    """Trainer arguments as today's Trainer takes them.

    Args:
        given: the arguments that it knows, defaults included.
        classic: those that it does not know. A flag of `litify run` beats an older spelling of the same.

    Raises:
        TypeError: nobody knows an argument.
        MisconfigurationException: an old argument that has no successor.
    """
    if not classic and not _has_classic_values(given):
        return given
    kept = {name: value for name, value in flags.over(classic).items() if name in classic}
    given, callbacks = dict(given), _listed(given["callbacks"])
    for name, value in kept.items():
        _translate(name, value, given, callbacks, kept)
    if given["max_steps"] is None:
        given["max_steps"] = -1
    if given["profiler"] is True:
        given["profiler"] = "simple"
    if isinstance(given["accumulate_grad_batches"], Mapping):
        from litify.callbacks import GradientAccumulationScheduler

        hint("Trainer(accumulate_grad_batches={...})", "callbacks=[GradientAccumulationScheduler({...})]")
        callbacks.append(GradientAccumulationScheduler(dict(given["accumulate_grad_batches"])))
        given["accumulate_grad_batches"] = 1
    if given["accelerator"] in STRATEGIES:
        hint(f"Trainer(accelerator={given['accelerator']!r})", f"strategy={given['accelerator']!r}")
        _strategy(given.pop("accelerator"), given, kept)
    return {**given, "callbacks": callbacks}


def _has_classic_values(given: Arguments) -> bool:
    return (
        given["max_steps"] is None
        or given["profiler"] is True
        or (isinstance(given["accelerator"], str) and given["accelerator"] in STRATEGIES)
        or isinstance(given["accumulate_grad_batches"], Mapping)
    )


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _translate(name: str, value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    """Put one classic argument into `given` or `callbacks`."""
    if name in RENAMED:
        hint(f"Trainer({name}=...)", f"{RENAMED[name]}=...")
        given[RENAMED[name]] = value
    elif name in WITHOUT_EFFECT:
        hint(f"Trainer({name}=...)", WITHOUT_EFFECT[name])
    elif name in REFUSED:
        if value not in (None, -1, False, "max_size_cycle"):
            raise MisconfigurationException(f"Trainer({name}={value!r}) is no more: {REFUSED[name]}.")
    elif name in DEVICES:
        DEVICES[name](value, given, kept)
    elif name in CALLBACKS:
        CALLBACKS[name](value, given, callbacks, kept)
    elif name != "resume_from_checkpoint":  # see `after_init`
        close = get_close_matches(name, given, 1)
        advice = f"did you mean {close[0]!r}?" if close else "see help(litify.Trainer) for those it takes."
        raise TypeError(f"Trainer() got an unexpected argument {name!r}; {advice}")


def _gpus(value: Any, given: Arguments, kept: Arguments) -> None:
    if value is None:
        return
    if value in (0, "0", "", [], ()):
        hint(f"Trainer(gpus={value!r})", "accelerator='cpu'")
        given["accelerator"] = "cpu"
        return
    hint(f"Trainer(gpus={value!r})", f"accelerator='gpu', devices={value!r}")
    given["devices"] = list(value) if isinstance(value, tuple) else value
    if given["accelerator"] in STRATEGIES:
        _strategy(given["accelerator"], given, kept)
    given["accelerator"] = "gpu"


def _tpu_cores(value: Any, given: Arguments, kept: Arguments) -> None:
    if value:
        hint(f"Trainer(tpu_cores={value!r})", f"accelerator='tpu', devices={value!r}")
        given["accelerator"], given["devices"] = "tpu", value


def _num_processes(value: Any, given: Arguments, kept: Arguments) -> None:
    if value and not kept.get("gpus") and not kept.get("tpu_cores"):
        hint(f"Trainer(num_processes={value})", f"accelerator='cpu', devices={value}")
        if given["accelerator"] in STRATEGIES:
            _strategy(given["accelerator"], given, kept)
        given["accelerator"], given["devices"] = "cpu", value


def _distributed_backend(value: Any, given: Arguments, kept: Arguments) -> None:
    if value is not None:
        hint(f"Trainer(distributed_backend={value!r})", f"strategy={value!r}")
        _strategy(value, given, kept)


def _strategy(value: str, given: Arguments, kept: Arguments) -> None:
    if value in ("dp", "ddp2", "horovod"):
        raise MisconfigurationException(
            f"The strategy {value!r} is no more: pass strategy='ddp', with one process per device."
        )
    given.setdefault("accelerator", "auto")
    if given["accelerator"] in STRATEGIES:
        given["accelerator"] = "auto"
    if value == "ddp_cpu":
        given["accelerator"] = "cpu"
    given["strategy"] = "ddp" if value in ("ddp_cpu", "ddp_spawn", "ddp_notebook") else value


def _use_amp(value: Any, given: Arguments, kept: Arguments) -> None:
    if value:
        hint("Trainer(use_amp=True)", "precision='16-mixed'")
        given["precision"] = "16-mixed"


def _reload(value: Any, given: Arguments, kept: Arguments) -> None:
    hint("Trainer(reload_dataloaders_every_epoch=...)", "reload_dataloaders_every_n_epochs=1")
    given["reload_dataloaders_every_n_epochs"] = int(bool(value))


DEVICES: dict[str, Callable[[Any, Arguments, Arguments], None]] = {
    "gpus": _gpus,
    "tpu_cores": _tpu_cores,
    "num_processes": _num_processes,
    "distributed_backend": _distributed_backend,
    "use_amp": _use_amp,
    "reload_dataloaders_every_epoch": _reload,
}


def _checkpoint_callback(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    if value in (True, False, None):
        hint(f"Trainer(checkpoint_callback={value})", f"enable_checkpointing={bool(value)}")
        given["enable_checkpointing"] = value
    else:
        hint("Trainer(checkpoint_callback=ModelCheckpoint(...))", "callbacks=[ModelCheckpoint(...)]")
        callbacks.append(value)


def _weights_save_path(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    from litify.callbacks import ModelCheckpoint

    others = [*callbacks, kept.get("checkpoint_callback")]
    if value is not None and not any(isinstance(callback, ModelCheckpoint) for callback in others):
        hint("Trainer(weights_save_path=...)", "callbacks=[ModelCheckpoint(dirpath=...)]")
        callbacks.append(ModelCheckpoint(dirpath=value))


def _early_stop_callback(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    if value:
        from litify.callbacks import EarlyStopping

        hint("Trainer(early_stop_callback=...)", "callbacks=[EarlyStopping('val_loss')]")
        callbacks.append(EarlyStopping("val_loss") if value is True else value)


def _progress_bar(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    from litify.callbacks import TQDMProgressBar

    rate, position = kept.get("progress_bar_refresh_rate"), kept.get("process_position") or 0
    hint("Trainer(progress_bar_refresh_rate=...)", "callbacks=[TQDMProgressBar(refresh_rate=...)]")
    if rate == 0:
        given["enable_progress_bar"] = False
    elif not any(isinstance(callback, TQDMProgressBar) for callback in callbacks):
        callbacks.append(TQDMProgressBar(1 if rate is None else rate, position))


def _lr_find(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    if value:
        from litify.callbacks import LearningRateFinder

        hint("Trainer(auto_lr_find=...)", "callbacks=[LearningRateFinder()]")
        callbacks.append(LearningRateFinder(attr_name=value if isinstance(value, str) else ""))


def _scale_batch_size(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    if value:
        from litify.callbacks import BatchSizeFinder

        hint("Trainer(auto_scale_batch_size=...)", "callbacks=[BatchSizeFinder()]")
        callbacks.append(BatchSizeFinder(value if isinstance(value, str) else "power"))


def _weights_summary(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    from litify.callbacks import ModelSummary

    hint(
        "Trainer(weights_summary=...)",
        "callbacks=[ModelSummary(max_depth=...)], or enable_model_summary=False",
    )
    if value is None:
        given["enable_model_summary"] = False
    else:
        callbacks.append(ModelSummary(-1 if value == "full" else 1))


def _weight_averaging(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    if value:
        from litify.callbacks import StochasticWeightAveraging

        hint("Trainer(stochastic_weight_avg=True)", "callbacks=[StochasticWeightAveraging(1e-2)]")
        callbacks.append(StochasticWeightAveraging(1e-2))


def _gpu_memory(value: Any, given: Arguments, callbacks: list[Any], kept: Arguments) -> None:
    if value:
        from litify.callbacks import DeviceStatsMonitor

        hint("Trainer(log_gpu_memory=...)", "callbacks=[DeviceStatsMonitor()]")
        callbacks.append(DeviceStatsMonitor())


CALLBACKS: dict[str, Callable[[Any, Arguments, list[Any], Arguments], None]] = {
    "checkpoint_callback": _checkpoint_callback,
    "weights_save_path": _weights_save_path,
    "early_stop_callback": _early_stop_callback,
    "progress_bar_refresh_rate": _progress_bar,
    "process_position": _progress_bar,
    "auto_lr_find": _lr_find,
    "auto_scale_batch_size": _scale_batch_size,
    "weights_summary": _weights_summary,
    "stochastic_weight_avg": _weight_averaging,
    "log_gpu_memory": _gpu_memory,
}


def after_init(trainer: Trainer, classic: Arguments) -> None:
    """What a classic Trainer did once it was made: callbacks' init hooks, and the checkpoint that fit starts from."""
    for name in ("on_init_start", "on_init_end"):
        for callback in trainer.callbacks:
            if hasattr(callback, name):
                hint(f"Callback.{name}", "the code after Trainer(...)")
                getattr(callback, name)(trainer)
    path = classic.get("resume_from_checkpoint")
    if path is not None and flags.ckpt_path() is None:
        hint("Trainer(resume_from_checkpoint=...)", "trainer.fit(..., ckpt_path=...)")
        trainer.fit = partial(trainer.fit, ckpt_path=path)  # type: ignore[method-assign]
    if classic.get("auto_lr_find") or classic.get("auto_scale_batch_size"):
        trainer.tune = partial(_tune, trainer)  # type: ignore[attr-defined]


def _tune(trainer: Trainer, model: Any, *loaders: Any, **sources: Any) -> Arguments:
    """`trainer.tune(model)`: the searches now, not when fit starts."""
    from litify.callbacks import BatchSizeFinder, LearningRateFinder

    hint("Trainer.tune", "Tuner(trainer).lr_find(model) and Tuner(trainer).scale_batch_size(model)")
    others, found = trainer.callbacks, {}
    for kind, name in ((BatchSizeFinder, "optimal_batch_size"), (LearningRateFinder, "optimal_lr")):
        for finder in [callback for callback in others if isinstance(callback, kind)]:
            finder._early_exit = True
            trainer.callbacks = [
                finder,
                *(c for c in others if not isinstance(c, (BatchSizeFinder, LearningRateFinder))),
            ]
            trainer.fit(model, *loaders, **sources)
            found["scale_batch_size" if kind is BatchSizeFinder else "lr_find"] = getattr(finder, name)
    trainer.callbacks = [c for c in others if not isinstance(c, (BatchSizeFinder, LearningRateFinder))]
    return found


def add_argparse_args(parent_parser: ArgumentParser, **kwargs: Any) -> ArgumentParser:
    """`Trainer.add_argparse_args(parser)`: a parser that takes each of Trainer's arguments besides."""
    from litify.trainer import Trainer  # which is built on this module

    hint("Trainer.add_argparse_args(parser)", "litify run SCRIPT --max-epochs 3 ...")
    parser = ArgumentParser(parents=[parent_parser], add_help=False)
    group = parser.add_argument_group("litify.Trainer")
    parameters = inspect.signature(Trainer.__init__).parameters
    known = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for name, default in {**known, **dict.fromkeys(SHOWN)}.items():
        group.add_argument(f"--{name}", default=default, type=_literal, nargs="?", const=True)
    return parser


SHOWN = (
    "gpus",
    "tpu_cores",
    "num_processes",
    "distributed_backend",
    "resume_from_checkpoint",
    "weights_save_path",
)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def from_argparse_args(cls: type[Trainer], /, args: Any, **kwargs: Any) -> Trainer:
    """`Trainer.from_argparse_args(args)`: of a Namespace (or a parser, which then parses), what Trainer takes."""
    hint("Trainer.from_argparse_args(args)", "Trainer(max_epochs=args.max_epochs, ...)")
    found = vars(args.parse_args() if isinstance(args, ArgumentParser) else args)
    names = {*inspect.signature(cls.__init__).parameters, *RENAMED, *DEVICES, *CALLBACKS, *SHOWN}
    return cls(**{**{name: value for name, value in found.items() if name in names}, **kwargs})


def keywords(**old_to_new: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator for `fit`, `validate`, `test`, `predict`, which take older names of their arguments too."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def translated(*args: P.args, **kwargs: P.kwargs) -> T:
            for old in old_to_new.keys() & kwargs.keys():
                hint(f"Trainer.{function.__name__}({old}=...)", f"{old_to_new[old]}=...")
                kwargs[old_to_new[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return translated

    return decorate
