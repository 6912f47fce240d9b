"""What the objects in a LightningModule's methods are: tensors of the batch, devices, optimizers, strangers."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from litify_linter.reading.imports import dotted
from litify_linter.reading.lightning import STEPS
from litify_linter.reading.scopes import Function, parameters, walk_scope

if TYPE_CHECKING:
    from litify_linter.reading.file import Place

_OPTIMIZER_NAME = re.compile(
    r"(?:^|_)(?:opt|optim|optims|optimizers?|optimisers?)(?:[a-z]?\d*)(?:_|$)", re.IGNORECASE
)
_DEVICE_NAME = re.compile(r"(?:^|_)(?:device|dev|devices|gpu)(?:_|\d*$)", re.IGNORECASE)
_ACCELERATOR = re.compile(r"(?:cuda|mps|xpu|xla|tpu|hip|gpu)(?::\d+)?")
# Of diffusers and transformers: an object around modules, which the Trainer does not see.
_PIPELINE = re.compile(r"(?:^|_)pipe(?:line)?$")
_SETTINGS = frozenset({"args", "hparams", "config", "cfg", "conf", "opt", "opts", "params", "flags", "FLAGS"})


def values_of(name: str, here: Place) -> list[ast.expr]:
    """What is assigned to a local name of the enclosing function(s), else to the name in the module."""
    return _binding(name, here)[1]


def _binding(name: str, here: Place) -> tuple[ast.AST | None, list[ast.expr]]:
    """The innermost function, or the module, that assigns to a name, and what it assigns."""
    place: Place | None = here
    while place is not None:
        scope = place.scope
        if isinstance(scope, Function | ast.Module):
            found = place.file.assigned(scope).get(name)
            if found:
                return scope, found
        place = place.outer
    return None, []


def assignments(scope: Function | ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of each assignment in a scope; a name unpacked from a tuple has the whole value."""
    for node in walk_scope(scope.body):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _bound(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(
                target=target, value=value
            ):
                yield from _bound(target, value)
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                yield from _bound(target, value)


def _bound(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target:
        case ast.Name(id=name):
            yield name, value
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            parts = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(targets) else None
            for index, one in enumerate(targets):
                yield from _bound(one, parts[index] if parts else value)
        case ast.Starred(value=inner):
            yield from _bound(inner, value)


def is_parameter(name: str, here: Place) -> bool:
    """Whether a name is a parameter of one of the functions around."""
    place: Place | None = here
    while place is not None:
        if isinstance(place.scope, Function | ast.Lambda) and name in parameters(place.scope):
            return True
        place = place.outer
    return False


def from_batch(node: ast.expr, here: Place, depth: int = 8) -> bool:
    """Whether an expression is (part of) the batch that a step or batch hook receives, or a view of it."""
    match node:
        case ast.Name(id=name):
            if name == _batch_parameter(here) or (depth > 0 and _is_given_batch(name, here, depth - 1)):
                return True
            return depth > 0 and any(from_batch(value, here, depth - 1) for value in values_of(name, here))
        case ast.Subscript(value=inner) | ast.Starred(value=inner):
            return from_batch(inner, here, depth)
        case ast.Attribute(value=inner):
            return from_batch(inner, here, depth)
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method not in {"size", "dim", "numel"}:
            return from_batch(inner, here, depth)
    return False


def leaves_device(node: ast.expr, here: Place, depth: int = 4) -> bool:
    """Whether a tensor of the batch went to the host, or through numpy, on its way, or is an attribute of the batch."""
    match node:
        case ast.Attribute():
            return True
        case ast.Call(func=ast.Attribute(attr="cpu" | "numpy" | "tolist")):
            return True
        case ast.Call(func=ast.Attribute(attr="to"), args=[ast.Constant(value="cpu"), *_]):
            return True
        case (
            ast.Call(func=ast.Attribute(value=inner)) | ast.Subscript(value=inner) | ast.Starred(value=inner)
        ):
            return leaves_device(inner, here, depth)
        case ast.Name(id=name) if depth > 0:
            return any(
                leaves_device(value, here, depth - 1) for value in values_of(name, here) if value is not node
            )
    return False


def drawn_by_hand(node: ast.expr, here: Place, depth: int = 4) -> bool:
    """Whether a tensor comes from an iterator that the code advances itself: nobody has moved it to the device.

    That is `next(...)`, what is made of a `dataloader_iter`, and a loop over something that the module holds.
    """
    match node:
        case ast.Call(func=ast.Name(id="next")):
            return True
        case ast.Call(args=args) if any(isinstance(a, ast.Name) and a.id == "dataloader_iter" for a in args):
            return True
        case ast.Name(id=name) if depth > 0:
            if any(drawn_by_hand(value, here, depth - 1) for value in values_of(name, here)):
                return True
            loops = (n for n in ast.walk(here.method) if isinstance(n, ast.For)) if here.method else ()
            over = [
                loop.iter
                for loop in loops
                if any(bound == name for bound, _ in _bound(loop.target, loop.iter))
            ]
            return any(_is_held(iterable, here) for iterable in over)
        case ast.Subscript(value=inner) | ast.Attribute(value=inner):
            return drawn_by_hand(inner, here, depth)
        case ast.Call(func=ast.Attribute(value=inner)):
            return drawn_by_hand(inner, here, depth)
    return False


def _is_held(iterable: ast.expr, here: Place) -> bool:
    """`self.loader`, `tqdm(self.loaders["val"])`: not a call of a method."""
    match iterable:
        case ast.Call(func=ast.Name(), args=[inner, *_]) | ast.Subscript(value=inner):
            return _is_held(inner, here)
        case ast.Attribute(value=ast.Name(id=owner)):
            return owner == here.self_name
    return False


def _is_given_batch(name: str, here: Place, depth: int) -> bool:
    """Whether a parameter of a method gets (part of) the batch wherever the class calls the method."""
    if here.method is None or name not in (names := parameters(here.method)):
        return False
    given = []
    for call, place in here.file.in_hooks.get(ast.Call, ()):
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=method)) if (
                method == here.method.name and owner == place.self_name and place.lightning is here.lightning
            ):
                given.append((_argument(call, name, names.index(name) - (not here.is_static)), place))
    return bool(given) and all(
        value is not None and from_batch(value, place, depth) for value, place in given
    )


def _argument(call: ast.Call, name: str, index: int) -> ast.expr | None:
    by_name = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return by_name or (call.args[index] if 0 <= index < len(call.args) else None)


def _batch_parameter(here: Place) -> str | None:
    if here.method is None or here.hook is None:
        return None
    names = parameters(here.method)
    index = 2 if here.hook.endswith("_batch_end") else 1
    if here.hook in STEPS or "_batch_" in here.hook:
        return names[index] if len(names) > index else None
    return None


def is_fixed_device(node: ast.expr, here: Place, depth: int = 4) -> bool:
    """Whether an expression is an accelerator chosen by hand: "cuda", torch.device(...), a variable that holds one.

    `self.device` and the device of another tensor follow the Trainer's choice and are not.
    """
    match node:
        case ast.Constant(value=str(text)):
            return _ACCELERATOR.fullmatch(text) is not None
        case ast.Call():
            return here.resolve(node.func) in {"torch.device", "torch.cuda.current_device"} and not any(
                isinstance(a, ast.Constant) and a.value == "cpu" for a in node.args
            )
        case ast.IfExp(body=body, orelse=orelse):
            return is_fixed_device(body, here, depth) or is_fixed_device(orelse, here, depth)
        case ast.Name(id=name):
            if is_parameter(name, here):
                return here.hook == "__init__" and _DEVICE_NAME.search(name) is not None
            scope, values = _binding(name, here)
            if any(is_fixed_device(value, here, depth - 1) for value in values if depth > 0):
                return True
            # A device from elsewhere: `from settings import device`, or `device = pick_device()` in the module.
            unknown = scope is None or (
                isinstance(scope, ast.Module) and all(isinstance(v, ast.Call) for v in values)
            )
            return unknown and _DEVICE_NAME.search(name) is not None
        case ast.Attribute(value=inner, attr=attr):
            holder = (dotted(inner) or "").rpartition(".")[2]
            return holder in _SETTINGS and _DEVICE_NAME.search(attr) is not None
    return False


def is_optimizer(node: ast.expr, here: Place, depth: int = 4) -> bool:
    """Whether an expression is an optimizer: from self.optimizers(), built from torch.optim, or named like one."""
    match node:
        case ast.Call(func=ast.Attribute(attr="optimizers")):
            return True
        case ast.Call():
            name = here.resolve(node.func) or ""
            return name.startswith("torch.optim.") and not name.startswith("torch.optim.lr_scheduler.")
        case ast.Subscript(value=inner):
            return is_optimizer(inner, here, depth)
        case ast.Name(id=name):
            if any(is_optimizer(value, here, depth - 1) for value in values_of(name, here) if depth > 0):
                return True
            return _OPTIMIZER_NAME.search(name) is not None
        case ast.Attribute(attr=attr):
            value = _self_value(node, here)
            if value is not None and depth > 0 and is_optimizer(value, here, depth - 1):
                return True
            return _OPTIMIZER_NAME.search(attr) is not None
    return False


def is_stranger(node: ast.expr, here: Place, depth: int = 4) -> bool:
    """Whether an object is known to be neither tensor nor module: made by a class that has nothing to do with torch."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if (cls := here.file.classes.get(name)) is not None:
            return here.file.is_plain(cls)
        case ast.Call():
            package = (here.resolve(node.func) or "").partition(".")[0]
            return package in sys.stdlib_module_names
        case ast.Constant() | ast.JoinedStr() | ast.Dict() | ast.List() | ast.Set():
            return True
        case ast.Name(id=name):
            if is_parameter(name, here):
                return False
            values = values_of(name, here)
            return bool(values) and depth > 0 and all(is_stranger(value, here, depth - 1) for value in values)
        case ast.Attribute(value=inner):
            value = _self_value(node, here)
            if _PIPELINE.search(node.attr) is not None:
                return True
            if value is None:
                return not (isinstance(inner, ast.Name) and inner.id == "self") and is_stranger(
                    inner, here, depth
                )
            if isinstance(value, ast.Call) and _is_foreign_call(value, here):
                if "Pipeline" in (dotted(value.func) or ""):
                    return True
                return not _used_as_module(node.attr, here)
            return depth > 0 and is_stranger(value, here, depth - 1)
    return False


def _self_value(node: ast.Attribute, here: Place) -> ast.expr | None:
    """What `self.x` was set to in the class."""
    if isinstance(node.value, ast.Name) and node.value.id == here.self_name and here.lightning is not None:
        return here.lightning.attributes.get(node.attr)
    return None


def _is_foreign_call(value: ast.Call, here: Place) -> bool:
    """A call of something imported from outside the torch family: it may make a module, or anything else."""
    name = here.resolve(value.func)
    return name is not None and not name.partition(".")[0].startswith(("torch", "lightning", "litify"))


def _used_as_module(attribute: str, here: Place) -> bool:
    """Whether the class calls `self.attribute(...)`, or asks it for its parameters."""
    if here.lightning is None:
        return False
    for node in ast.walk(here.lightning.node):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)) if name == attribute:
                return True
            case ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="self"), attr=name), attr="parameters" | "state_dict"
            ) if (name == attribute):
                return True
    return False


def is_module(node: ast.expr, here: Place) -> bool:
    """Whether an expression is the module itself, a submodule, or a new one."""
    match node:
        case ast.Name(id=name) if name == here.self_name:
            return True
        case ast.Attribute(value=ast.Name(id=owner)) if owner == here.self_name:
            value = here.lightning.attributes.get(node.attr) if here.lightning is not None else None
            return isinstance(value, ast.Call) and _makes_module(value, here)
        case ast.Call():
            return _makes_module(node, here)
    return False


def _makes_module(call: ast.Call, here: Place) -> bool:
    if isinstance(call.func, ast.Name) and call.func.id in here.file.classes:
        return here.file.is_module_class(here.file.classes[call.func.id])
    if isinstance(call.func, ast.Attribute) and call.func.attr in {"cuda", "to"}:
        return is_module(call.func.value, here)
    name = here.resolve(call.func) or ""
    return name.startswith("torch.nn.") and name.count(".") == 2 and not name.endswith("Parameter")
