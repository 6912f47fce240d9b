from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import without_call
from litify_linter.reading.file import Place
from litify_linter.reading.imports import dotted
from litify_linter.reading.objects import is_stranger
from litify_linter.rule import Example, Finding, Rule


class HostSync(Rule):
    """`.item()`, `.cpu()`, `.numpy()` or `.tolist()` in a training step whose optimization is automatic.

    Why: Each of them makes Python wait until the GPU has finished all it was given, so that the next batch's kernels
    are not queued in time. `self.log` takes the tensor and reads it later.

    Ignore when: The number itself is wanted. Values that decide what the step does next, are printed or given to other
    functions, and values read every n-th batch only, are never reported.
    """

    code, name = "LIT602", "host-sync"
    fix = "safe"
    message = "`{call}` in training_step waits for the GPU each batch; pass tensors to `self.log`, or use `.detach()`"
    visits = (ast.Call,)
    hooks = frozenset({"training_step"})
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch)
                    self.log("train_loss", loss.item())
                    return loss
            """,
            good="""
            import torch
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    loss = self.loss(batch) * torch.rand(1).item()
                    self.log("train_loss", loss)
                    self.print(f"loss {loss.item()}")
                    if batch_idx % 100 == 0:
                        self.history.append(loss.item())
                    return loss
            """,
        ),
    )

    def sees(self, here: Place) -> bool:
        """The training step, and methods that it calls, whoever else does."""
        if here.module is None or here.hook is None:
            return False
        return here.hook in self.hooks or "training_step" in here.module.reached_from.get(here.hook, ())

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """One of these calls on something that may live on the device, not guarded by a count of batches."""
        if not isinstance(node, ast.Call):
            return
        match node:
            case ast.Call(
                func=ast.Attribute(value=target, attr="item" | "cpu" | "numpy" | "tolist" as method), args=[]
            ):
                call = f".{method}()"
            case ast.Call(func=ast.Attribute(value=target, attr="to"), args=[ast.Constant(value="cpu")]):
                call = '.to("cpu")'
            case _:
                return
        logged = _is_logged(node, here)
        if not logged and not here.automatic:
            return
        if _on_host(target, here) or _is_needed(node, here) or _is_seldom(node, here):
            return
        edits = without_call(node, here) if call == ".item()" and logged else None
        yield self.found(node, here, edits, call=call)


def _is_seldom(node: ast.AST, here: Place) -> bool:
    """Whether the step does not come to it in each batch: under a condition, or in a method that it calls under one."""
    if here.conditional(node):
        return True
    step = here.module.methods.get("training_step") if here.module is not None else None
    if step is None or here.method is step:
        return False
    calls = [
        place.conditional(call)
        for call, place in here.file.in_hooks.get(ast.Call, ())
        if place.method is step
        and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == here.hook
    ]
    return bool(calls) and all(calls)


def _is_logged(node: ast.expr, here: Place) -> bool:
    """Whether the value goes straight into `self.log("name", ...)` or `self.log_dict({...})`, which take the tensor."""
    parent = here.file.parents.get(node)
    if isinstance(parent, ast.Dict):
        node, parent = parent, here.file.parents.get(parent)
    match parent:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="log"), args=[_, value, *_]):
            return owner == here.self_name and value is node
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="log_dict"), args=[value, *_]):
            return owner == here.self_name and value is node
    return False


def _is_needed(node: ast.expr, here: Place, depth: int = 3) -> bool:
    """Whether something in the step needs the value on the host: a function it is given to, a test, an index, a text.

    Logging and keeping it do not.
    """
    child: ast.AST = node
    parent = here.file.parents.get(child)
    while parent is not None and not isinstance(parent, ast.stmt):
        match parent:
            case ast.keyword(arg="batch_size"):
                return True  # of self.log, which wants a number
            case ast.Call(func=function) if function is not child:
                if not _passes_on(function):
                    return not _keeps(function)
            case ast.Compare() | ast.FormattedValue() | ast.comprehension():
                return True
            case ast.Subscript(slice=part) | ast.IfExp(test=part) if part is child:
                return True
        child, parent = parent, here.file.parents.get(parent)
    match parent:
        case ast.If() | ast.While() | ast.For() | ast.Assert():
            return True
        case ast.Return():  # of a method that the step calls: who knows what for
            return here.hook != "training_step"
        case ast.Assign(targets=[ast.Attribute()]) if here.lightning and here.lightning.has_unseen_base:
            return True  # a setting or a size, for whoever reads it there
        case ast.Assign(targets=[(ast.Name() | ast.Attribute()) as target]) if depth > 0:
            return _is_read(target, here, depth)
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if depth > 0:
            pairs = zip(targets, values, strict=False)
            into = [t for t, value in pairs if any(inner is node for inner in ast.walk(value))]
            return any(_is_read(t, here, depth) for t in into if isinstance(t, ast.Name | ast.Attribute))
        case ast.AugAssign(target=(ast.Name() | ast.Attribute()) as target) if depth > 0:
            return _is_read(target, here, depth)
    return False


def _is_read(target: ast.Name | ast.Attribute, here: Place, depth: int) -> bool:
    """Whether the step itself needs what was put into a name or an attribute."""
    name = dotted(target)
    reads = (
        (n for n in ast.walk(here.method) if isinstance(n, type(target))) if here.method is not None else ()
    )
    if any(
        isinstance(n.ctx, ast.Load) and dotted(n) == name and _is_needed(n, here, depth - 1) for n in reads
    ):
        return True
    return isinstance(target, ast.Attribute) and _is_count_elsewhere(name, here)


def _is_count_elsewhere(name: str | None, here: Place) -> bool:
    """Whether another method of the class takes an attribute for a size: for tensors it makes, a range, an index."""
    if here.cls is None:
        return False
    for node in ast.walk(here.cls):
        match node:
            case ast.Call(func=function) if (isinstance(function, ast.Name) and function.id == "range") or (
                here.resolve(function) or ""
            ).startswith("torch."):
                inside: ast.AST = node
            case ast.Subscript(slice=part):
                inside = part
            case _:
                continue
        if any(isinstance(n, ast.Attribute) and dotted(n) == name for n in ast.walk(inside)):
            return True
    return False


def _passes_on(function: ast.expr) -> bool:
    """Built-in functions whose result is such a number again."""
    return isinstance(function, ast.Name) and function.id in {
        "float",
        "int",
        "round",
        "abs",
        "sum",
        "min",
        "max",
    }


def _keeps(function: ast.expr) -> bool:
    """`self.log`, and lists that collect."""
    return isinstance(function, ast.Attribute) and function.attr in {"log", "log_dict", "append", "extend"}


def _on_host(node: ast.expr, here: Place) -> bool:
    """Whether an object is known to be in the computer's own memory: after another such call, or made there."""
    match node:
        case ast.Call(func=ast.Attribute(attr="cpu" | "numpy" | "tolist" | "item")):
            return True
        case ast.Call(func=function, keywords=keywords) if (here.resolve(function) or "").startswith(
            ("torch.", "numpy.")
        ):
            made = {
                "rand",
                "randn",
                "randint",
                "randperm",
                "tensor",
                "zeros",
                "ones",
                "arange",
                "multinomial",
            }
            known = function.attr in made if isinstance(function, ast.Attribute) else False
            from_numpy = (here.resolve(function) or "").startswith("numpy.")
            return from_numpy or (known and not any(k.arg == "device" for k in keywords))
        case ast.Attribute(value=inner) | ast.Subscript(value=inner):
            return _on_host(inner, here)
    return is_stranger(node, here)
