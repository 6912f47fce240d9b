"""Everything one fit, or one evaluation, needs: built once before the loop, read by it, then dropped."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Module, Parameter
from torch.optim import LBFGS

from litify import data
from litify.errors import MisconfigurationException
from litify.hooks import Hook, Hooks, HookTable, fetches, is_overridden, replaced, requires, run, takes
from litify.metrics import Results
from litify.optim import LightningOptimizer, LRSchedulerConfig, zero_function
from litify.precision.base import Precision
from litify.rank_zero import warn
from litify.seed import rng_state
from litify.state import State
from litify.strategies.base import Strategy

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from litify.module import LightningModule
    from litify.trainer import Trainer


def step_function(trainer: Trainer, name: str) -> Hook:
    """The module's step, through the strategy's wrapper and the precision's context where there are any."""
    action = f"[Strategy]{type(trainer.strategy).__name__}.{name}"
    step = trainer.profiler.wrap(trainer.strategy.step_function(name), action)
    precision = trainer.strategy.precision
    if not precision.autocasts:
        return step

    def in_context(*args: Any) -> Any:
        with precision.forward_context():
            return step(*args)

    return in_context


class EvalJob:
    """What validate, test or predict needs.

    Args:
        kind: "validation", "test" or "predict": the prefix of step and hooks.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, hooks: HookTable, kind: str) -> None:
        self.trainer, self.module, self.hooks, self.kind = trainer, module, hooks, kind
        self.short = {"validation": "val"}.get(kind, kind)
        self.state: State = trainer.state
        sync = trainer.strategy.reduce if trainer.world_size > 1 else None
        self.results = Results(training=False, sync=sync) if kind != "predict" else None
        self.step = step_function(trainer, f"{kind}_step")
        method = getattr(module, f"{kind}_step")
        self.takes_batch_idx = takes(method, "batch_idx", 2)
        self.fetches = fetches(method)
        self.transfer = self.fetched = data.Transfer(module, trainer.datamodule, trainer.strategy)
        if self.fetches:
            self.transfer = data.Transfer.nothing()
        self.batch_start = hooks.all(f"on_{kind}_batch_start")
        self.batch_end = hooks.all(f"on_{kind}_batch_end")
        if self.fetches:
            self.batch_start, self.batch_end = data.of_fetched(self.batch_start), data.of_fetched(
                self.batch_end
            )
        self.sets_train_mode = kind != "predict" and replaced(f"on_{kind}_model_train", module)
        self.loaders: data.Loaders | None = None
        self.loaded_in_epoch = -math.inf
        # Batches of each loader in all passes: the x axis of step values.
        self.seen: dict[int | None, int] = {}

    @property
    def limit(self) -> data.Limit:
        limit: data.Limit = getattr(self.trainer, f"limit_{self.short}_batches")
        return limit

    def load(self) -> data.Loaders:
        """The loaders, asked for once, or every `reload_dataloaders_every_n_epochs` epochs."""
        every = self.trainer.reload_dataloaders_every_n_epochs
        stale = every and self.state.fn == "fit" and self.state.epoch - self.loaded_in_epoch >= every
        if self.loaders is None or stale:
            sanity = self.trainer.sanity_checking
            self.loaders = load(self.trainer, self.module, self.short, self.limit)
            if not sanity or (self.state.epoch + 1) % (self.trainer.check_val_every_n_epoch or 1) == 0:
                self.loaded_in_epoch = (
                    self.state.epoch
                )  # loaders of the sanity check serve an epoch that validates itself
            self._check_dataloader_idx()
        return self.loaders

    def _check_dataloader_idx(self) -> None:
        """Several loaders, one after another: the step must be able to tell them apart; with one it gets no index.

        Raises:
            RuntimeError: dataloader_idx is missing, or not wanted.
        """
        assert self.loaders is not None
        several = self.loaders.combined is not None and self.loaders.sequential and len(self.loaders.flat) > 1
        for name in (f"{self.kind}_step", f"on_{self.kind}_batch_start", f"on_{self.kind}_batch_end"):
            method = getattr(self.module, name)
            count = 4 if name.endswith("_end") else 3
            if several and not self.fetches and not takes(method, "dataloader_idx", count):
                raise RuntimeError(
                    f"There are {len(self.loaders.flat)} {self.short} loaders, but {name} does not take dataloader_idx; add that argument."
                )
            if not several and requires(method, "dataloader_idx"):
                raise RuntimeError(
                    f"There is one {self.short} loader, but {name} wants dataloader_idx; remove that argument or give it a default."
                )


def load(trainer: Trainer, module: LightningModule, short: str, limit: data.Limit) -> data.Loaders:
    """Ask for the loaders of a kind and prepare them.

    Raises:
        MisconfigurationException: nobody gives any.
    """
    source = trainer.sources.get(short)
    if source is None:
        owner: Any = trainer.datamodule
        name = f"{short}_dataloader"
        if owner is None or not is_overridden(name, owner):
            owner = module
        if getattr(owner, name) is not None and not is_overridden(name, owner):
            raise MisconfigurationException(
                f"There is no {short} data: pass a loader to the Trainer, or define {name} in {type(module).__name__} or its "
                "LightningDataModule."
            )
        source = trainer.hooks.call_owned(owner, name)
    trainer.strategy.barrier(f"{short}_dataloader")
    with trainer.profiler.profile(f"setup_{short}_dataloader"):
        return data.prepare(
            source,
            short,
            limit,
            trainer.strategy,
            replace_sampler=trainer.use_distributed_sampler,
            overfit=trainer.overfit_batches > 0,
        )


class FitJob:
    """What fit needs: the module's step, hooks, optimizers and loaders, each found once.

    Attributes:
        accumulate: batches per optimizer step; read from the Trainer at the start of each epoch.
        zero_first: `zero_grad` of the optimizer under automatic optimization, where no hook has a say in it.
        own_backward: the strategy's or the module's way to run backward, where it is more than `loss.backward()`.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, hooks: HookTable) -> None:
        self.trainer, self.module, self.hooks = trainer, module, hooks
        self.state: State = trainer.state
        self.strategy = trainer.strategy
        self.results = Results(
            training=True, sync=trainer.strategy.reduce if trainer.world_size > 1 else None
        )
        step = step_function(trainer, "training_step")
        self.fetches = fetches(module.training_step)
        takes_batch_idx = takes(module.training_step, "batch_idx", 2)
        self.step: Hook = step if takes_batch_idx else lambda batch, batch_idx: step(batch)
        self.transfer = self.fetched = data.Transfer(module, trainer.datamodule, trainer.strategy)
        if self.fetches:
            self.transfer = data.Transfer.nothing()
        self.automatic = module.automatic_optimization
        self.scale = trainer.strategy.precision.scale if _scales(trainer) else None
        self.blocks_sync: Callable[[], AbstractContextManager[Any]] | None = (
            trainer.strategy.block_grad_sync if trainer.strategy.syncs_gradients else None
        )
        self.accumulate = trainer.accumulate_grad_batches

        self.batch_start: Hooks = hooks.of_callbacks("on_train_batch_start")
        self.own_batch_start: Hook | None = hooks.of_module("on_train_batch_start")
        self.batch_end: Hooks = hooks.all("on_train_batch_end")
        if self.fetches:
            self.batch_start, self.batch_end = data.of_fetched(self.batch_start), data.of_fetched(
                self.batch_end
            )
            if self.own_batch_start is not None:
                (self.own_batch_start,) = data.of_fetched((self.own_batch_start,))
        self.before_zero_grad: Hooks = hooks.all("on_before_zero_grad")
        self.own_zero_grad: Hook | None = hooks.of_module("optimizer_zero_grad")
        self.before_backward: Hooks = hooks.all("on_before_backward")
        self.after_backward: Hooks = hooks.all("on_after_backward")
        self.before_optimizer_step: Hooks = hooks.all("on_before_optimizer_step")
        self.own_optimizer_step: Hook | None = hooks.of_module("optimizer_step")
        self.own_scheduler_step = module.lr_scheduler_step
        self.own_model_zero_grad: Hook | None = hooks.of_module("on_validation_model_zero_grad")
        if self.own_model_zero_grad is None and not _plain_zero_grad(module):
            self.own_model_zero_grad = module.on_validation_model_zero_grad
        self.parameters: list[Parameter] = []

        self.optimizers: list[Optimizer] = []
        self.configs: list[LRSchedulerConfig] = []
        self.wrapped: list[LightningOptimizer] = []
        self.steppers: dict[int, Callable[[Any], Any]] = {}
        self.step_first: Callable[[Any], Any] = _no_optimizer
        self.zero_first: Callable[[], None] | None = None
        plain = not trainer.strategy.adds_to_backward and not replaced("backward", module)
        plain = plain and not trainer.profiler.active
        self.own_backward: Hook | None = None if plain else self._recorded(trainer.strategy.backward)
        self.plain_backward = (
            plain and self.scale is None and not self.before_backward and not self.after_backward
        )
        self.loaders: data.Loaders | None = None
        self.loaded_in_epoch = -math.inf
        self.resumed_epoch = -1  # the epoch in whose middle training goes on
        self.iterator: Any = None
        self.epoch_rng: dict[str, Any] = {}
        self.resume: dict[str, Any] | None = (
            None  # what a checkpoint in the middle of an epoch kept beside Lightning's keys
        )
        self.loader_states: list[Any] = []  # of loaders that keep their own place, from a checkpoint
        self.without_metrics = (
            False  # resumed within an epoch from a checkpoint of Lightning, which keeps no metrics to watch
        )
        self.val_every: float = math.inf
        self.validation: EvalJob | None = None

    def take_optimizers(self, optimizers: list[Optimizer], configs: list[LRSchedulerConfig]) -> None:
        """Keep the optimizers, wrapped for users, and decide how each of them steps."""
        self.optimizers, self.configs = optimizers, configs
        self.parameters = list(self.module.parameters())
        self.steppers = {
            id(optimizer): self._recorded(self._stepper(optimizer), "optimizer_step")
            for optimizer in optimizers
        }
        self.wrapped = [
            LightningOptimizer(optimizer, self._user_step, self._toggled) for optimizer in optimizers
        ]
        if not optimizers:
            return
        self.step_first = self.steppers[id(optimizers[0])]
        if not self.before_zero_grad and self.own_zero_grad is None:
            self.zero_first = zero_function(optimizers[0])

    @contextmanager
    def _toggled(self, optimizer: LightningOptimizer, sync_grad: bool) -> Iterator[None]:
        blocked = nullcontext() if sync_grad else self.strategy.block_grad_sync()
        with self.module.toggled_optimizer(optimizer), blocked:
            yield

    def _recorded(self, function: Hook, name: str = "backward") -> Hook:
        return self.trainer.profiler.wrap(function, f"[Strategy]{type(self.strategy).__name__}.{name}")

    @property
    def is_plain(self) -> bool:
        """Whether a batch is no more than step, zero_grad, backward and optimizer.step, and then hooks."""
        if not self.automatic or self.accumulate != 1 or len(self.optimizers) != 1:
            return False
        no_hooks = not self.batch_start and self.own_batch_start is None and self.own_optimizer_step is None
        scheduled = any(config.interval == "step" for config in self.configs)
        optimizer = self.optimizers[0]
        plain_step = self._steps_plainly(optimizer) and self._before_step(optimizer) is None
        return (
            no_hooks and self.plain_backward and self.zero_first is not None and not scheduled and plain_step
        )

    def _steps_plainly(self, optimizer: Optimizer) -> bool:
        """Whether neither strategy nor precision has a say in a step, and the closure can be run before it."""
        plain = type(self.strategy).optimizer_step is Strategy.optimizer_step
        plain = plain and type(self.strategy.precision).optimizer_step is Precision.optimizer_step
        return plain and calls_closure_first(optimizer)

    def _stepper(self, optimizer: Optimizer) -> Callable[[Any], Any]:
        """What runs closure, hooks, clipping and step of an optimizer: its own `step` where nothing else has a say."""
        strategy, before_step = self.strategy, self._before_step(optimizer)
        if self._steps_plainly(optimizer):
            return _closure_then_step(optimizer, before_step)
        automatic = self.automatic

        def step(closure: Callable[[], Any]) -> Any:
            ran = False

            def noted() -> Any:
                nonlocal ran
                ran = True
                # Some optimizers turn gradients off in their step, and call the closure there.
                with torch.enable_grad():
                    return closure()

            answer = strategy.optimizer_step(optimizer, noted, before_step)
            if automatic and not ran:
                raise MisconfigurationException(
                    f"{type(optimizer).__name__}.step did not call its closure, which computes the gradients; call it there."
                )
            return answer

        return step

    def _before_step(self, optimizer: Optimizer) -> Callable[[], None] | None:
        hooks = [partial(hook, optimizer) for hook in self.before_optimizer_step]
        clips = self.trainer.gradient_clip_val or replaced("configure_gradient_clipping", self.module)
        if not hooks and not (clips and self.automatic):
            return None

        def before_step() -> None:
            run(tuple(hooks), "on_before_optimizer_step", self.results)
            if clips and self.automatic:
                clip = partial(
                    self.module.configure_gradient_clipping,
                    optimizer,
                    gradient_clip_val=self.trainer.gradient_clip_val,
                    gradient_clip_algorithm=self.trainer.gradient_clip_algorithm,
                )
                run((clip,), "configure_gradient_clipping", self.results)

        return before_step

    def _user_step(self, optimizer: Optimizer, closure: Callable[[], Any] | None, **kwargs: Any) -> Any:
        """`LightningOptimizer.step`: of the user under manual optimization, or in an own `optimizer_step`."""
        step = self.steppers[id(optimizer)]
        if kwargs:
            step = partial(_step_with, optimizer, kwargs)
        if self.automatic:
            return step(closure or _nothing)
        outer = self.results.hook
        answer = step(closure or _nothing)
        self.results.hook = outer
        self.state.optimizer_steps += 1
        return answer

    def load(self) -> None:
        """The training loaders and the first iterator; again every `reload_dataloaders_every_n_epochs` epochs."""
        trainer, every = self.trainer, self.trainer.reload_dataloaders_every_n_epochs
        stale = every and self.state.epoch - self.loaded_in_epoch >= every
        if self.loaders is not None and not stale:
            return
        self.loaded_in_epoch = self.state.epoch
        self.loaders = load(trainer, self.module, "train", trainer.limit_train_batches)
        trainer.num_training_batches = self.loaders.num_batches
        if self.loaders.combined is not None and self.loaders.combined.mode == "sequential":
            raise ValueError(
                'CombinedLoader(mode="sequential") is for evaluation; training takes "min_size", "max_size" or "max_size_cycle".'
            )
        if any(data.length_of(loader) == math.inf for loader in self.loaders.flat):
            self.blocks_sync = None  # any batch may turn out to be the last of its window, and of the epoch
        if (
            trainer.loggers
            and not trainer.fast_dev_run
            and self.loaders.num_batches < trainer.log_every_n_steps
        ):
            warn(
                f"An epoch has {self.loaders.num_batches} batches, fewer than Trainer(log_every_n_steps={trainer.log_every_n_steps}): "
                "step values are logged once in several epochs. Lower it to see more."
            )
        # A step that fetches may take several batches: only the end of its epoch is known.
        whole = self.fetches and trainer.val_check_interval == 1.0
        self.val_every = math.inf if whole else _val_every(trainer, self.loaders.num_batches)
        self.iterator = None
        # The first epoch's iterator is made here, before on_train_start, as Lightning does: making it draws a random number.
        if self.loaders.num_batches and self.resume is None:
            self.iterate()

    def restore_loaders(self, within_epoch: bool = False) -> bool:
        """Let loaders that keep their place go on from it. Whether all do, so that no batch has to be passed over."""
        assert self.loaders is not None
        states, self.loader_states = self.loader_states, []
        return self.loaders.load_states(states, within_epoch)

    def iterate(self) -> None:
        """A new iterator over the batches of an epoch; the random state before it is kept for checkpoints."""
        assert self.loaders is not None
        self.loaders.set_epoch(self.strategy, self.state.epochs_processed)
        self.epoch_rng = rng_state()
        batches = self.loaders.iterate()
        if self.fetches:
            most = int(min(self.loaders.num_batches, sys.maxsize))
            triples = ((batch, index, None) for index, batch in enumerate(islice(batches, most)))
            batches = data.OnDemand(triples, self.fetched).turns()
        self.iterator = self.trainer.profiler.wrap_iterator(batches, "[FitJob].train_dataloader_next")


def calls_closure_first(optimizer: Optimizer) -> bool:
    """Whether `step(closure)` is known to do no more with the closure than to call it first: torch's own, except LBFGS."""
    kind = type(optimizer)
    own = "step" in vars(optimizer) and not hasattr(
        optimizer.step, "_wrapped_by_lr_sched"
    )  # schedulers count steps by wrapping
    written_by = {
        kind.__module__,
        getattr(kind.step, "__module__", ""),
    }  # either may have been put in by somebody else
    ours = all(str(name).startswith("torch.optim.") for name in written_by)
    return ours and kind is not LBFGS and not own


def _closure_then_step(optimizer: Optimizer, before_step: Callable[[], None] | None) -> Callable[[Any], Any]:
    """The closure, then `step()`: the same as `step(closure)`, without the grad modes that torch sets around a closure.

    It is also the order of a hand-written loop, so that step pre-hooks of the optimizer find gradients.
    """
    step = optimizer.step

    def step_after(closure: Callable[[], Any]) -> Any:
        loss = closure()
        if before_step is not None:
            before_step()
        answer = step()
        return answer if loss is None else loss

    return step_after


def _plain_zero_grad(module: Module) -> bool:
    return "zero_grad" not in vars(module) and type(module).zero_grad is Module.zero_grad


def _step_with(optimizer: Optimizer, kwargs: dict[str, Any], closure: Callable[[], Any]) -> Any:
    """A step with arguments of the optimizer's own."""
    return optimizer.step(closure=torch.enable_grad()(closure), **kwargs)


def _nothing() -> None:
    """The closure of a step whose gradients are there already."""


def _no_optimizer(closure: Any) -> None:
    raise MisconfigurationException(
        "There is no optimizer yet: optimizers are made after setup, before on_fit_start."
    )


def _scales(trainer: Trainer) -> bool:
    return type(trainer.strategy.precision).scale is not Precision.scale


def _val_every(trainer: Trainer, batches: float) -> float:
    """After how many training batches validation runs; `math.inf`: at the end of an epoch.

    Raises:
        ValueError: more batches than an epoch has.
        MisconfigurationException: a fraction of an epoch without a length.
    """
    interval = trainer.val_check_interval
    if isinstance(interval, int):
        if (
            interval > batches
            and trainer.check_val_every_n_epoch is not None
            and trainer.limit_val_batches > 0
        ):
            raise ValueError(
                f"Trainer(val_check_interval={interval}) is more than the {batches} batches of an epoch; lower it, pass "
                "check_val_every_n_epoch=None to count over epochs, or limit_val_batches=0 for no validation."
            )
        return interval
    if batches == math.inf:
        if interval == 1.0:
            return math.inf
        raise MisconfigurationException(
            f"Trainer(val_check_interval={interval}) is a fraction of an epoch, but the train loader has no length; pass a number "
            "of batches."
        )
    return max(1, int(batches * interval))
