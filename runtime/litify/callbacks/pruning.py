"""ModelPruning: weights set to zero and kept there, by torch.nn.utils.prune."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn
from torch.nn.utils import prune

from litify.callbacks.base import Callback
from litify.errors import MisconfigurationException
from litify.rank_zero import say

if TYPE_CHECKING:
    from litify.module import LightningModule
    from litify.trainer import Trainer

Parameters = Sequence[tuple[nn.Module, str]]

# name -> (class, which prunes many layers at once; function, which prunes one)
METHODS: dict[str, tuple[Any, Any]] = {
    "ln_structured": (prune.LnStructured, prune.ln_structured),
    "l1_unstructured": (prune.L1Unstructured, prune.l1_unstructured),
    "random_structured": (prune.RandomStructured, prune.random_structured),
    "random_unstructured": (prune.RandomUnstructured, prune.random_unstructured),
}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class ModelPruning(Callback):
    """Prunes parameters at the end of epochs.

    Args:
        pruning_fn: "l1_unstructured", "random_unstructured", "ln_structured", "random_structured", or a class derived from
            torch's BasePruningMethod.
        parameters_to_prune: (module, name) pairs; default: all weights and biases.
        parameter_names: of "weight" and "bias", those to prune where no pairs are given.
        use_global_unstructured: prune all of them together, not each by itself.
        amount: how much, a share (float) or a number (int) of what is left, or a function of the epoch.
        apply_pruning: whether to prune; or a function of the epoch.
        make_pruning_permanent: in checkpoints and in the end, the pruned weights take the place of weights and masks.
        use_lottery_ticket_hypothesis: set the weights that are left back to those of the start (Frankle and Carbin, arXiv:1803.03635);
            or a function of the epoch.
        resample_parameters: draw those anew in place of taking the old ones.
        pruning_dim, pruning_norm: for structured pruning: which dimension, and for "ln_structured" by which norm.
        verbose: 1 says how much was pruned, 2 of each parameter.
        prune_on_train_epoch_end: False prunes after validation.

    Raises:
        MisconfigurationException: arguments that do not go together, or parameters that the module has not.
    """

    PARAMETER_NAMES: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(
        self,
        pruning_fn: Any,
        parameters_to_prune: Parameters = (),
        parameter_names: list[str] | None = None,
        use_global_unstructured: bool = True,
        amount: float | Callable[[int], float] = 0.5,
        apply_pruning: bool | Callable[[int], bool] = True,
        make_pruning_permanent: bool = True,
        use_lottery_ticket_hypothesis: bool | Callable[[int], bool] = True,
        resample_parameters: bool = False,
        pruning_dim: int | None = None,
        pruning_norm: int | None = None,
        verbose: int = 0,
        prune_on_train_epoch_end: bool = True,
    ) -> None:
        self._parameters_to_prune = parameters_to_prune
        self._parameter_names = parameter_names or list(self.PARAMETER_NAMES)
        self._use_global_unstructured = use_global_unstructured
        self.amount, self._apply_pruning = amount, apply_pruning
        self._make_pruning_permanent = make_pruning_permanent
        self._use_lottery_ticket_hypothesis = use_lottery_ticket_hypothesis
        self._resample_parameters = resample_parameters
        self._verbose, self._prune_on_train_epoch_end = verbose, prune_on_train_epoch_end
        self._check_values()
        self._options: dict[str, Any] = {}
        self.pruning_fn = self._method(pruning_fn, pruning_dim, pruning_norm)
        self._original_layers: dict[int, dict[str, Any]] = {}

    def _check_values(self) -> None:
        unknown = [name for name in self._parameter_names if name not in self.PARAMETER_NAMES]
        if unknown:
            raise MisconfigurationException(
                f"ModelPruning(parameter_names={unknown}): pass 'weight', 'bias' or both."
            )
        if not isinstance(self.amount, (int, float)) and not callable(self.amount):
            raise MisconfigurationException(
                f"ModelPruning(amount={self.amount!r}): pass a share (float), a number (int), or a function of the epoch."
            )
        if self._verbose not in (0, 1, 2):
            raise MisconfigurationException(f"ModelPruning(verbose={self._verbose!r}): pass 0, 1 or 2.")

    def _method(self, asked: Any, dim: int | None, norm: int | None) -> Any:
        """What prunes: a class of torch's for all together, a function for each."""
        everything = self._use_global_unstructured
        if inspect.isclass(asked) and issubclass(asked, prune.BasePruningMethod):
            self._name, method = asked.__name__, asked
            if not everything:
                raise MisconfigurationException(
                    f"ModelPruning({asked.__name__}) needs use_global_unstructured=True."
                )
        elif isinstance(asked, str) and asked.lower() in METHODS:
            method, function = METHODS[asked.lower()]
            self._name = method.__name__ if everything else function.__name__
            if asked.lower().endswith("_structured"):
                self._options["dim"] = _given(dim, asked, "pruning_dim")
            if asked.lower() == "ln_structured":
                self._options["n"] = _given(norm, asked, "pruning_norm")
            if not everything:
                return partial(function, **self._options)
        else:
            raise MisconfigurationException(
                f"ModelPruning(pruning_fn={asked!r}): pass one of {', '.join(METHODS)}, or a class derived from BasePruningMethod."
            )
        if getattr(method, "PRUNING_TYPE", "") != "unstructured":
            raise MisconfigurationException(
                f"ModelPruning({self._name}) is structured, which needs use_global_unstructured=False."
            )
        return method

    def filter_parameters_to_prune(self, parameters_to_prune: Parameters = ()) -> Parameters:
        """Override to choose among the parameters."""
        return parameters_to_prune

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        found = self.sanitize_parameters_to_prune(pl_module, self._parameters_to_prune, self._parameter_names)
        self._parameters_to_prune = self.filter_parameters_to_prune(found)
        if self._use_lottery_ticket_hypothesis:
            self._original_layers = {}
            for index, (module, name) in enumerate(self._parameters_to_prune):
                if id(module) not in self._original_layers:
                    self._original_layers[id(module)] = {"data": deepcopy(module), "names": []}
                self._original_layers[id(module)]["names"].append((index, name))

    @staticmethod
    def sanitize_parameters_to_prune(
        pl_module: LightningModule, parameters_to_prune: Parameters = (), parameter_names: Sequence[str] = ()
    ) -> Parameters:
        """The pairs given, or all of these names.

        Raises:
            MisconfigurationException: no (module, name) pairs, or some that the module has not.
        """
        layers = [m for m in pl_module.modules() if m is not pl_module and not isinstance(m, CONTAINERS)]
        if not parameters_to_prune:
            names = parameter_names or ModelPruning.PARAMETER_NAMES
            return [
                (m, name)
                for name in names
                for m in layers
                if isinstance(getattr(m, name, None), nn.Parameter)
            ]
        pairs = [pair for pair in parameters_to_prune if isinstance(pair, (list, tuple)) and len(pair) == 2]
        if len(pairs) < len(parameters_to_prune) or not all(isinstance(m, nn.Module) for m, _ in pairs):
            raise MisconfigurationException(
                "ModelPruning(parameters_to_prune=...): pass a list of (module, name of a parameter)."
            )
        missing = [
            f"{type(m).__name__}.{name}" for m, name in pairs if m not in layers or not hasattr(m, name)
        ]
        if missing:
            raise MisconfigurationException(
                f"ModelPruning(parameters_to_prune=...): {type(pl_module).__name__} has no {', '.join(missing)}."
            )
        return pairs

    # -- pruning ------------------------------------------------------------------------------------------------------------

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._prune_on_train_epoch_end:
            self._run(trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._prune_on_train_epoch_end and not trainer.sanity_checking:
            self._run(trainer.current_epoch)

    def _run(self, epoch: int) -> None:
        amount = _at(self.amount, epoch)
        if amount and _at(self._apply_pruning, epoch):
            self.apply_pruning(amount)
            if _at(self._use_lottery_ticket_hypothesis, epoch):
                self.apply_lottery_ticket_hypothesis()

    def apply_pruning(self, amount: float) -> None:
        """Prune so much now."""
        before = [_pruned(module, name) for module, name in self._parameters_to_prune]
        if self._use_global_unstructured:
            takes = inspect.signature(self.pruning_fn).parameters
            options = {name: v for name, v in {**self._options, "amount": amount}.items() if name in takes}
            prune.global_unstructured(self._parameters_to_prune, self.pruning_fn, **options)
        else:
            for module, name in self._parameters_to_prune:
                self.pruning_fn(module, name=name, amount=amount)
        if self._verbose:
            self._say(before, amount)

    def _say(self, before: list[tuple[int, int]], amount: float) -> None:
        after = [_pruned(module, name) for module, name in self._parameters_to_prune]
        (old, _), (new, total) = map(_sum, (before, after))
        say(f"litify: {self._name} pruned {old / total:.2%} -> {new / total:.2%} of {total} values")
        for (module, name), (zeros, size) in zip(self._parameters_to_prune, after, strict=True):
            if self._verbose == 2:
                say(f"  {module}.{name}: {zeros / size:.2%} of {size}, by {amount}")

    def apply_lottery_ticket_hypothesis(self) -> None:
        """Set weights back to those of the start; masks stay."""
        for layer in self._original_layers.values():
            copy = layer["data"]
            if self._resample_parameters and hasattr(copy, "reset_parameters"):
                copy = deepcopy(copy)
                copy.reset_parameters()
            for index, name in layer["names"]:
                module = self._parameters_to_prune[index][0]
                target = getattr(module, f"{name}_orig", getattr(module, name))
                source = getattr(copy, name)
                target.data = source.data.to(target.device, copy=True)

    # -- permanence ---------------------------------------------------------------------------------------------------------

    def make_pruning_permanent(self, module: nn.Module) -> None:
        """Pruned weights in place of weights and masks."""
        for child in module.modules():
            for key, hook in list(child._forward_pre_hooks.items()):
                if isinstance(hook, prune.BasePruningMethod):
                    hook.remove(child)
                    del child._forward_pre_hooks[key]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._make_pruning_permanent:
            self.make_pruning_permanent(pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self._make_pruning_permanent:
            return
        weights = dict(checkpoint["state_dict"])
        for name in [key.removesuffix("_mask") for key in weights if key.endswith("_mask")]:
            if f"{name}_orig" in weights:
                original = weights.pop(f"{name}_orig")
                weights[name] = weights.pop(f"{name}_mask").to(original.dtype) * original
        checkpoint["state_dict"] = weights


def _given(value: int | None, method: str, argument: str) -> int:
    if value is None:
        raise MisconfigurationException(f"ModelPruning({method!r}) needs {argument}=.")
    return value


def _at(value: Any, epoch: int) -> Any:
    return value(epoch) if callable(value) else value


def _pruned(module: nn.Module, name: str) -> tuple[int, int]:
    """Pruned values of a parameter, and all of them."""
    mask = getattr(module, f"{name}_mask", None)
    return (0, getattr(module, name).numel()) if mask is None else (int((mask == 0).sum()), mask.numel())


def _sum(counts: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(zeros for zeros, _ in counts), sum(size for _, size in counts)
