"""`for data in loader` gives hooks an argument `data`, rather than a first line `data = batch`."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from litify_converter.ir import Hook, Moved, New, Plan
from litify_converter.lifetimes import Home, Homes

# Names that mean something to the Trainer, or to the hook itself.
TAKEN = {"self", "batch_idx", "dataloader_idx", "dataloader_iter", "outputs"}


def name_batch(hook: Hook, homes: Homes) -> Hook:
    """The hook, its argument `batch` named as the script names a batch that it does not take apart or keep."""
    naming = next(
        (i for i in hook.items if isinstance(i, New) and re.fullmatch(r"\w+ = BATCH__", i.text)), None
    )
    if naming is None or "batch" not in hook.parameters:
        return hook
    name = naming.text.partition(" ")[0]
    variable = homes.variables.of(name, naming.scope)
    if variable is None or homes.home.get(variable) is not Home.LOCAL or homes.text[variable] != name:
        return hook
    others = [i for i in hook.items if i is not naming]
    if not any(variable in found.read for found in homes.usages.values()):
        return replace(hook, items=others)  # `for _ in range(100)`
    if name in TAKEN or any(isinstance(i, New) and "BATCH__" in i.text for i in others):
        return hook
    parameters = tuple(name if p == "batch" else p for p in hook.parameters)
    return replace(hook, items=others, parameters=parameters)


def parts_of_batch(plan: Plan) -> set[str]:
    """Names of the batch and of its parts: those of the loop, and those of `inputs, labels = data`."""
    names = {
        n.id
        for loop in (plan.nest.batches, *plan.eval_loops)
        if loop.target is not None
        for n in ast.walk(loop.target)
        if isinstance(n, ast.Name)
    }
    steps = [h for n, h in plan.hooks.items() if n.endswith("_step")]
    assigned = [
        s for hook in steps for i in hook.items if isinstance(i, Moved) for s in ast.walk(i.statement)
        if isinstance(s, ast.Assign)
    ]  # fmt: skip
    for statement in assigned:
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Name(id=name)) if name in names:
                whole = {p.id for p in parts if isinstance(p, ast.Name)}
                names |= {
                    n for n in whole if not any(_is_another(s, n) for s in assigned if s is not statement)
                }
    return names


def _is_another(statement: ast.Assign, name: str) -> bool:
    """Whether a statement gives the name anything but itself on another device, or the same part of a batch again."""
    bound = {n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    if name not in bound:
        return False
    match statement:
        case ast.Assign(targets=[ast.Tuple()], value=ast.Name()):
            return False
        case ast.Assign(targets=[target], value=value):
            made = (
                list(zip(target.elts, value.elts, strict=False))
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            return any(isinstance(t, ast.Name) and t.id == name and not _is_moved(v, name) for t, v in made)
    return True


def _is_moved(value: ast.expr, name: str) -> bool:
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=moved), attr="to" | "cuda")):
            return moved == name
        case ast.Call(func=ast.Name(id="Variable"), args=[ast.Name(id=moved)]):
            return moved == name
        case ast.Call(func=ast.Name(id="Variable"), args=[inner]):
            return _is_moved(inner, name)
    return False
