"""Lightning in a file: which classes are LightningModules, DataModules or Callbacks, and the names of their hooks.

`litify`, `lightning` (2.x) and `pytorch_lightning` (1.x) are one interface under three names.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from litify_linter.reading.imports import Imports, dotted
from litify_linter.reading.scopes import Function

PACKAGES = frozenset({"litify", "lightning", "pytorch_lightning"})
MODULE, DATAMODULE, CALLBACK = "LightningModule", "LightningDataModule", "Callback"
KINDS = frozenset({MODULE, DATAMODULE, CALLBACK})

STAGES = ("train", "validation", "test", "predict")
STEPS = frozenset({"training_step", "validation_step", "test_step", "predict_step"})
LOADERS = frozenset({"train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"})
# The hooks in which the Trainer has already called eval() and turned gradients off.
EVALUATION_HOOKS = frozenset({"validation_step", "test_step", "predict_step"}) | frozenset(
    f"on_{stage}_{part}"
    for stage in ("validation", "test", "predict")
    for part in ("start", "end", "epoch_start", "epoch_end", "batch_start", "batch_end")
)
# Hook -> number of arguments the Trainer may pass by position, `self` not counted (Lightning 2.6, core/hooks.py).
HOOK_ARGUMENTS: Mapping[str, int] = {
    **{f"on_{stage}_{end}": 0 for stage in (*STAGES, "fit") for end in ("start", "end")},
    **{f"on_{stage}_epoch_{end}": 0 for stage in STAGES for end in ("start", "end")},
    **{f"on_{stage}_batch_start": 3 for stage in STAGES[1:]},
    **{f"on_{stage}_batch_end": 4 for stage in STAGES[1:]},
    "on_train_batch_start": 2,
    "on_train_batch_end": 3,
    **{f"on_{stage}_model_eval": 0 for stage in STAGES[1:]},
    **{f"on_{stage}_model_train": 0 for stage in ("validation", "test")},
    "on_validation_model_zero_grad": 0,
    **{f"{stage}_step": 3 for stage in ("validation", "test", "predict")},
    "training_step": 2,
    **dict.fromkeys(LOADERS, 0),
    "on_before_zero_grad": 1,
    "on_before_backward": 1,
    "on_after_backward": 0,
    "on_before_optimizer_step": 1,
    "configure_optimizers": 0,
    "configure_callbacks": 0,
    "configure_model": 0,
    "configure_gradient_clipping": 3,
    "backward": 1,
    "optimizer_step": 4,
    "optimizer_zero_grad": 3,
    "lr_scheduler_step": 2,
    "prepare_data": 0,
    "setup": 1,
    "teardown": 1,
    "transfer_batch_to_device": 3,
    "on_before_batch_transfer": 2,
    "on_after_batch_transfer": 2,
    "on_load_checkpoint": 1,
    "on_save_checkpoint": 1,
}
HOOKS = frozenset(HOOK_ARGUMENTS)
# Hooks that run once per batch or per epoch, in every process.
LOOP_HOOKS = STEPS | frozenset(name for name in HOOKS if name.startswith("on_") and "checkpoint" not in name)


# Bases that say nothing of Lightning, by their last names.
_PLAIN_BASES = frozenset({"object", "ABC", "Module", "Generic", "Protocol", "HyperparametersMixin"})


@dataclass(frozen=True)
class LightningClass:
    """A class of the file that is, directly or through classes of the file, a Lightning class."""

    node: ast.ClassDef
    kind: str  # MODULE, DATAMODULE or CALLBACK
    package: str  # one of PACKAGES
    lineage: tuple[
        ast.ClassDef, ...
    ]  # itself, then its bases defined in this file, then those in files beside it

    @functools.cached_property
    def methods(self) -> dict[str, Function]:
        """Methods of its own body, not inherited ones."""
        return {node.name: node for node in self.node.body if isinstance(node, Function)}

    def find(self, name: str) -> Function | None:
        """A method of this name, its own or an inherited one."""
        every = (node for cls in self.lineage for node in cls.body if isinstance(node, Function))
        return next((node for node in every if node.name == name), None)

    @functools.cached_property
    def has_unseen_base(self) -> bool:
        """Whether a base stands in a file that was not found: it may wrap hooks, move batches, log what a step returns."""
        known = {cls.name for cls in self.lineage} | KINDS | _PLAIN_BASES
        bases = (base for cls in self.lineage for base in cls.bases)
        names = (dotted(base.value if isinstance(base, ast.Subscript) else base) or "" for base in bases)
        return any(name.rpartition(".")[2] not in known for name in names)

    @functools.cached_property
    def automatic(self) -> bool:
        """Whether the Trainer does backward and step. In doubt (a value known only at run time) it does not."""
        return not any(_gives_up_automatic(node) for cls in self.lineage for node in ast.walk(cls))

    @functools.cached_property
    def only_collects(self) -> bool:
        """Whether the module has no optimizer by its own word: it goes through the data once, to collect."""
        optimizers = self.find("configure_optimizers")
        if optimizers is None:
            return False
        returned = [node.value for node in ast.walk(optimizers) if isinstance(node, ast.Return)]
        return all(
            value is None or (isinstance(value, ast.Constant) and value.value is None) for value in returned
        )

    @functools.cached_property
    def reached_from(self) -> dict[str, frozenset[str]]:
        """Method that is no hook -> the hooks from which `self.method()` calls lead to it."""
        calls = {name: frozenset(_self_calls(method)) for name, method in self.methods.items()}
        found: dict[str, set[str]] = {}
        for hook in calls.keys() & (HOOKS | {"__init__", "forward"}):
            reached, waiting = set(), list(calls[hook])
            while waiting:
                name = waiting.pop()
                if name in calls and name not in reached and name not in HOOKS:
                    reached.add(name)
                    waiting += calls[name]
            for name in reached:
                found.setdefault(name, set()).add(hook)
        return {name: frozenset(hooks) for name, hooks in found.items()}

    @functools.cached_property
    def attributes(self) -> dict[str, ast.expr]:
        """`self.x` -> the first value assigned to it in any method, own methods before inherited ones."""
        found: dict[str, ast.expr] = {}
        for name, value in self.assigned:
            found.setdefault(name, value)
        return found

    @functools.cached_property
    def assigned(self) -> list[tuple[str, ast.expr]]:
        """Every (x, value) of a `self.x = value` in any method, own methods before inherited ones."""
        return [pair for cls in self.lineage for pair in _self_assignments(cls)]


def _self_calls(method: Function) -> Iterator[str]:
    for node in ast.walk(method):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                yield name


def _gives_up_automatic(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=targets, value=value):
            return _is_false(value) and any(_names_automatic(target) for target in targets)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return _is_false(value) and _names_automatic(target)
        case ast.FunctionDef(name="automatic_optimization"):  # a property
            return True
        case ast.Call(func=ast.Attribute(attr="manual_backward")):
            return True
    return False


def _is_false(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value is True)


def _names_automatic(target: ast.expr) -> bool:
    match target:
        case ast.Name(id="automatic_optimization") | ast.Attribute(attr="automatic_optimization"):
            return True
    return False


def _self_assignments(cls: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(cls):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _self_targets(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _self_targets(target, value)


def _self_targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case ast.Attribute(value=ast.Name(id="self"), attr=name), _:
            yield name, value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            for one, part in zip(targets, values, strict=True):
                yield from _self_targets(one, part)


class Beside(Protocol):
    """What knows where a file lies, and the Lightning classes of other files (`siblings.Siblings`)."""

    @property
    def path(self) -> str:
        """The file's absolute path."""

    def lightning(self, qualified: str) -> LightningClass | None:
        """The Lightning class of this qualified name, or None."""


class LightningNames:
    """Which expressions of a file name something of Lightning, star imports included."""

    def __init__(self, imports: Imports, star_imports: Iterable[ast.ImportFrom]) -> None:
        self._imports = imports
        self._stars = [node.module for node in star_imports if package_of(node.module) is not None]

    def qualified(self, node: ast.expr) -> str | None:
        """Qualified name of an imported expression; one of the main names may come from a star import of Lightning."""
        name = self._imports.resolve(node)
        if name is None and self._stars and isinstance(node, ast.Name) and node.id in KINDS | {"Trainer"}:
            return f"{self._stars[0]}.{node.id}"
        return name

    def is_from(self, node: ast.expr, names: frozenset[str]) -> str | None:
        """The Lightning package that an expression named `names` comes from, or None."""
        name = self.qualified(node)
        if name is None or name.rpartition(".")[2] not in names:
            return None
        return package_of(name)


def package_of(name: str | None) -> str | None:
    """The Lightning package a qualified name is from: "lightning" for "lightning.pytorch.Trainer"."""
    head = (name or "").partition(".")[0]
    return head if head in PACKAGES else None


def lightning_classes(
    classes: Iterable[ast.ClassDef],
    by_name: Mapping[str, ast.ClassDef],
    names: LightningNames,
    beside: Beside | None = None,
) -> dict[ast.ClassDef, LightningClass]:
    """The Lightning classes among the classes of a file; `beside` knows those of the files it imports from."""
    found = {}
    for cls in classes:
        ancestors = lineage(cls, by_name)
        for base in (base for ancestor in ancestors for base in ancestor.bases):
            package = names.is_from(base, KINDS)
            if package is not None:
                kind = (names.qualified(base) or "").rpartition(".")[2]
                found[cls] = LightningClass(cls, kind, package, ancestors)
                break
        else:
            inherited = _inherited(ancestors, names, beside) if beside is not None else None
            if inherited is not None:
                lines = (*ancestors, *inherited.lineage)
                found[cls] = LightningClass(cls, inherited.kind, inherited.package, lines)
    return found


def _inherited(
    ancestors: Iterable[ast.ClassDef], names: LightningNames, beside: Beside
) -> LightningClass | None:
    for base in (base for ancestor in ancestors for base in ancestor.bases):
        qualified = names.qualified(base)
        found = beside.lightning(qualified) if qualified is not None else None
        if found is not None:
            return found
    return None


def lineage(cls: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> tuple[ast.ClassDef, ...]:
    """A class and those of its ancestors that the file defines, each once: a circle of bases ends."""
    found = [cls]
    for ancestor in found:
        for base in ancestor.bases:
            parent = classes.get(dotted(base) or "")
            if parent is not None and parent not in found:
                found.append(parent)
    return tuple(found)
