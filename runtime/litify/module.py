"""LightningModule: the model, the loss, what one step computes, and the choice of optimizers. Nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from litify.classic.hooks import modernize_module
from litify.datamodule import DataHooks
from litify.errors import CheckpointError, MisconfigurationException
from litify.hparams import LoadsFromCheckpoint
from litify.modulehooks import ModuleHooks
from litify.optim import LightningOptimizer
from litify.rank_zero import rank, warn

if TYPE_CHECKING:
    from litify.metrics import Results
    from litify.trainer import Trainer


class LightningModule(ModuleHooks, DataHooks, LoadsFromCheckpoint, nn.Module):
    """An nn.Module that also says how it is trained.

    Override `training_step` and `configure_optimizers`; `validation_step`, `test_step`, `predict_step` and the hooks as needed.
    Works as a plain nn.Module where there is no Trainer.
    """

    automatic_optimization: bool = True
    """Whether the Trainer runs zero_grad, backward and step; False leaves them to `training_step`."""
    if TYPE_CHECKING:  # TorchScript would try to understand these
        example_input_array: Any
        _trainer: Trainer | None
        _results: Results | None
    example_input_array = None
    """Input for `forward`, which summaries and graphs are made from."""
    _strict_loading: bool | None = None
    prepare_data_per_node: bool = True
    _trainer = None
    _results = None  # what `log` writes to; the Trainer sets it for each running loop
    __jit_unused_properties__: ClassVar[list[str]] = [
        "trainer", "current_epoch", "global_step", "global_rank", "local_rank", "on_gpu", "device", "dtype", "logger", "loggers",
        "hparams", "hparams_initial", "strict_loading",
    ]  # fmt: skip

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        modernize_module(cls)

    # -- the Trainer, and where it stands --------------------------------------------------------------------------

    @property
    def trainer(self) -> Trainer:
        """The Trainer that runs this module.

        Raises:
            RuntimeError: there is none yet.
        """
        if self._trainer is None:
            raise RuntimeError(
                f"{type(self).__qualname__} is not attached to a Trainer: pass it to Trainer.fit first."
            )
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        for module in self.modules():  # child LightningModules log and step through the same Trainer
            if isinstance(module, LightningModule):
                object.__setattr__(module, "_trainer", trainer)

    @property
    def current_epoch(self) -> int:
        """Epochs finished so far; 0 without a Trainer."""
        return self._trainer.current_epoch if self._trainer else 0

    @property
    def global_step(self) -> int:
        """Optimizer steps so far, of all optimizers together; 0 without a Trainer."""
        return self._trainer.global_step if self._trainer else 0

    @property
    def global_rank(self) -> int:
        return self._trainer.global_rank if self._trainer else 0

    @property
    def local_rank(self) -> int:
        return self._trainer.local_rank if self._trainer else 0

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def device(self) -> torch.device:
        """The device of this process: the Trainer's while it runs, else that of the first parameter or buffer."""
        if self._trainer is not None and self._trainer.is_running:
            return self._trainer.strategy.root_device
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return torch.get_default_dtype()

    @property
    def logger(self) -> Any:
        """The first logger, or None."""
        return self._trainer.logger if self._trainer else None

    @property
    def loggers(self) -> list[Any]:
        return self._trainer.loggers if self._trainer else []

    # -- logging -----------------------------------------------------------------------------------------------------

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: float | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Record a value. It stays on its device until something reads it.

        Args:
            name: the key.
            value: a number, a tensor with one element, or a torchmetrics.Metric.
            prog_bar: show it in the progress bar.
            logger: send it to the loggers (default True).
            on_step: record this step's value; default True in training_step and its batch hooks, else False.
            on_epoch: record the reduction over the epoch; default True in validation, test and epoch hooks, else False.
                With both, the keys are `name_step` and `name_epoch`.
            reduce_fx: "mean" (weighted by batch size), "sum", "min" or "max".
            enable_graph: keep the autograd graph.
            sync_dist: reduce over processes; then every process must log it.
            sync_dist_group: the process group to reduce over.
            add_dataloader_idx: append /dataloader_idx_N where there are several evaluation loaders.
            batch_size: the weight of this value in a mean; default: first dimension of the first tensor of the batch.
            metric_attribute: the attribute that holds a torchmetrics.Metric; not needed where this module has it anywhere within.
            rank_zero_only: only rank 0 calls this.

        Raises:
            MisconfigurationException: the hook cannot log, the arguments make no sense together, or a torchmetrics.Metric is no
                attribute of the module, so that it would be another one for each step.
            ValueError: a tensor with several elements, or something that is no number.
        """
        results = self._results
        if results is None:
            self._log_nowhere(name)
            return
        # The fast path: a name logged before with the same arguments is one look-up and one update.
        key = (results.hook, name, results.idx, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist,
               add_dataloader_idx, rank_zero_only)  # fmt: skip
        slot = results.slots.get(key)
        if slot is None:
            self._check_metric(name, value, metric_attribute)
            slot = results.register(key, value, sync_dist_group)
            if logger and self._trainer is not None and not self._trainer.loggers:
                warn(
                    f"self.log({name!r}, logger=True): the Trainer has no logger, so the value goes nowhere but to callbacks."
                )
        results.update(slot, value, batch_size)

    def _check_metric(self, name: str, value: Any, attribute: str | None) -> None:
        if not isinstance(value, nn.Module) or any(value is module for module in self.modules()):
            return
        if attribute is None or not hasattr(self, attribute):
            raise MisconfigurationException(
                f"self.log({name!r}, ...) got a {type(value).__name__} that is no attribute of {type(self).__name__}: keep it as one, made "
                "in __init__, so that it collects all steps."
            )

    def _log_nowhere(self, name: str) -> None:
        trainer = self._trainer
        if trainer is None or trainer.barebones:
            why = (
                "no Trainer runs this module"
                if trainer is None
                else "Trainer(barebones=True) turns logging off"
            )
            warn(f"self.log({name!r}) is ignored: {why}.")
            return
        raise MisconfigurationException(
            f"self.log({name!r}): nothing can be logged here, outside of training, validation and test."
        )

    def log_dict(self, dictionary: Mapping[str, Any], **arguments: Any) -> None:
        """`log` for each item of a dictionary (or torchmetrics.MetricCollection), with the same arguments."""
        items: Any = None
        if hasattr(
            dictionary, "_enable_compute_groups"
        ):  # a MetricCollection: its items can share states while they are logged
            items = dictionary.items(
                **{"keep_base": False, **({"copy_state": False} if dictionary._enable_compute_groups else {})}
            )
        for name, value in dictionary.items() if items is None else items:
            self.log(name, value, **arguments)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print`, from rank 0 only, and above the progress bar where there is one."""
        if self._trainer is None:
            if rank() == 0:
                print(*args, **kwargs)
        elif self._trainer.is_global_zero:
            bar = self._trainer.progress_bar_callback
            (bar.print if bar is not None and bar.is_enabled else print)(*args, **kwargs)

    # -- optimization ------------------------------------------------------------------------------------------------

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizer of `configure_optimizers`, or a list of them; their `step` counts and calls hooks.

        Args:
            use_pl_optimizer: False gives the torch optimizers themselves.
        """
        found: list[Any] = self.trainer.lightning_optimizers if use_pl_optimizer else self.trainer.optimizers
        return found[0] if len(found) == 1 else found

    def lr_schedulers(self) -> Any:
        """The scheduler of `configure_optimizers`, a list of them, or None, to step under manual optimization."""
        found = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return found[0] if len(found) == 1 else found or None

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """`loss.backward()` as precision and strategy need it, for manual optimization.

        Raises:
            MisconfigurationException: called under automatic optimization.
        """
        if self.automatic_optimization:
            raise MisconfigurationException(
                "manual_backward is for manual optimization: set self.automatic_optimization = False in __init__."
            )
        self.trainer.manual_backward(loss, *args, **kwargs)

    def toggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Let only this optimizer's parameters require gradients, until `untoggle_optimizer`. Not nestable."""
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        state: dict[int, tuple[Tensor, bool]] = {}
        for other in self.trainer.optimizers:
            for group in other.param_groups:
                for p in group["params"]:
                    state.setdefault(id(p), (p, p.requires_grad))
        for key, (parameter, required) in state.items():
            parameter.requires_grad = required if key in own else False
        object.__setattr__(self, "_toggled", list(state.values()))

    def untoggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Undo `toggle_optimizer`."""
        for parameter, required in getattr(self, "_toggled", ()):
            parameter.requires_grad = required
        object.__setattr__(self, "_toggled", [])

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> Iterator[None]:
        """`toggle_optimizer` for a with block."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    def clip_gradients(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of an optimizer's parameters; arguments left out are the Trainer's.

        Raises:
            MisconfigurationException: the Trainer says something else.
        """
        trainer = self.trainer
        for argument, mine in (
            ("gradient_clip_val", gradient_clip_val),
            ("gradient_clip_algorithm", gradient_clip_algorithm),
        ):
            theirs = getattr(trainer, argument)
            if mine is not None and theirs is not None and mine != theirs:
                raise MisconfigurationException(
                    f"clip_gradients got {argument}={mine!r}, but the Trainer has {argument}={theirs!r}; say it in one place."
                )
        value = trainer.gradient_clip_val if gradient_clip_val is None else gradient_clip_val
        algorithm = gradient_clip_algorithm or trainer.gradient_clip_algorithm or "norm"
        if algorithm not in ("norm", "value"):
            raise MisconfigurationException(
                f"clip_gradients(gradient_clip_algorithm={algorithm!r}): pass 'norm' or 'value'."
            )
        if not value:
            return
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        trainer.strategy.clip_gradients(optimizer, value, str(algorithm))

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Tensors of all processes, stacked along a new first dimension; in any nesting of containers."""
        from litify.transfer import apply

        strategy = self.trainer.strategy
        if isinstance(data, (int, float)):
            data = torch.tensor(data, device=strategy.root_device)
        return apply(data, lambda tensor: strategy.all_gather(tensor, group, sync_grads))

    # -- weights -----------------------------------------------------------------------------------------------------

    @property
    def strict_loading(self) -> bool:
        """Whether a checkpoint must hold exactly this module's weights; True where nothing was said."""
        return self._strict_loading is not False

    @strict_loading.setter
    def strict_loading(self, strict: bool | None) -> None:
        self._strict_loading = strict

    def _strict(self, asked: bool | None) -> bool:
        said = (
            self._strict_loading if isinstance(type(self).strict_loading, property) else self.strict_loading
        )
        if asked is not None and said is not None and asked != said:
            raise ValueError(
                f"load_from_checkpoint(strict={asked}), but {type(self).__name__}.strict_loading is {said}; say it in one place."
            )
        return self.strict_loading if asked is None else asked

    def freeze(self) -> Self:
        """No parameter requires gradients, and the module is in eval mode. Returns the module."""
        return self.requires_grad_(False).eval()

    def unfreeze(self) -> Self:
        """All parameters require gradients, and the module is in train mode. Returns the module."""
        return self.requires_grad_(True).train()

    def _load_weights(self, checkpoint: dict[str, Any], strict: bool | None, path: Any) -> None:
        self.on_load_checkpoint(checkpoint)
        if "state_dict" not in checkpoint:
            raise CheckpointError(
                f"{path}: holds no weights (no 'state_dict'); is it a checkpoint of a Trainer?"
            )
        try:
            keys = self.load_state_dict(checkpoint["state_dict"], strict=self._strict(strict))
        except RuntimeError as error:
            raise CheckpointError(
                f"{path}: its weights are not those of {type(self).__name__}: {error}"
            ) from None
        if keys is not None and (keys.missing_keys or keys.unexpected_keys):
            warn(
                f"{path}: missing weights {keys.missing_keys}, weights without a place {keys.unexpected_keys}."
            )

    @contextmanager
    def without_trainer(self) -> Iterator[None]:
        """For torch.jit, which reads every attribute, and would meet the error of `trainer` where there is none."""
        trainer = self._trainer
        self.trainer = trainer or object()  # type: ignore[assignment]
        try:
            yield
        finally:
            self.trainer = trainer

    def to_torchscript(
        self,
        file_path: str | Path | None = None,
        method: str | None = "script",
        example_inputs: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The module by torch.jit, in eval mode.

        Args:
            file_path: where to save it, too.
            method: "script", or "trace" with an example.
            example_inputs: for "trace"; default: `example_input_array`.
            kwargs: of torch.jit.script or torch.jit.trace.

        Raises:
            ValueError: another method, or no example to trace with.
        """
        if method not in ("script", "trace"):
            raise ValueError(f"to_torchscript(method={method!r}): pass 'script' or 'trace'.")
        if example_inputs is None and method == "trace":
            example_inputs = self.example_input_array
            if example_inputs is None:
                raise ValueError(
                    "to_torchscript(method='trace') needs an input: pass example_inputs, or set self.example_input_array."
                )
        modes = [(module, module.training) for module in self.modules()]
        try:
            with torch.no_grad(), self.without_trainer():
                self.eval()
                made = (
                    torch.jit.script(self, **kwargs)
                    if method == "script"
                    else torch.jit.trace(self, example_inputs, **kwargs)  # type: ignore[no-untyped-call]
                )
        finally:
            for module, training in modes:
                module.training = training
        if file_path is not None:
            torch.jit.save(made, str(file_path))
        return made

    def to_onnx(self, file_path: str | Path | Any = None, input_sample: Any = None, **kwargs: Any) -> Any:
        """Export by `torch.onnx.export`, with `example_input_array` where no sample is given."""
        sample = self.example_input_array if input_sample is None else input_sample
        if sample is None:
            raise ValueError("to_onnx needs an input: pass input_sample, or set self.example_input_array.")
        training = self.training
        try:
            with torch.no_grad():
                return torch.onnx.export(self.eval(), sample, file_path, **kwargs)
        finally:
            self.train(training)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        for name in ("_trainer", "_results", "_compiled_call_impl"):
            state.pop(name, None)
        return state
