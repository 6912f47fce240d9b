"""The number of the epoch as a global of the script, where functions that stay outside of the hooks read it."""

from __future__ import annotations

import ast

from litify_converter.blocks import after_loop
from litify_converter.ir import Hook, New, Plan
from litify_converter.lifetimes import Home, Homes
from litify_converter.read import Script
from litify_linter.reading.scopes import Function, exposed, free


def share_epoch(script: Script, plan: Plan) -> None:
    """Each epoch sets the global before anything else, as the head of the loop did."""
    epochs = plan.nest.epochs
    if epochs.target is None or epochs.scope is not script.tree or not _read_outside(script, plan):
        return
    first = f" + {ast.unparse(epochs.first)}" if epochs.first is not None else ""
    name = "train_dataloader" if "train_dataloader" in plan.hooks else "on_train_epoch_start"
    hook = plan.hooks.get(name)
    if hook is None:
        hook = Hook(name, [])
        plan.hooks = {name: hook, **plan.hooks}
    hook.items.insert(0, New(epochs.scope, f"{epochs.target} = SELF__.current_epoch{first}"))


def epoch_after(plan: Plan, homes: Homes, trainer: str) -> list[str]:
    """Code after training that reads the number of the last epoch gets it from the Trainer."""
    epochs, entry = plan.nest.epochs, plan.nest.entry
    if epochs.target is None or epochs.target not in exposed(after_loop(entry.body, plan.nest.outer)):
        return []
    variable = homes.variables.of(epochs.target, epochs.scope)
    if variable is None or homes.home.get(variable) is Home.GLOBAL:
        return []
    first = ast.unparse(epochs.first) if epochs.first is not None else "0"
    count = f"{trainer}.current_epoch"
    number = {"0": f"{count} - 1", "1": count}.get(first, f"{first} + {count} - 1")
    return [f"{epochs.target} = {number}"]


def _read_outside(script: Script, plan: Plan) -> bool:
    """Whether a function that no hook has taken over reads the module's name."""
    gone = {id(f) for f in plan.absorbed}
    return any(
        plan.nest.epochs.target in free(function)
        for function in [*script.roles.functions.values(), *script.roles.owner]
        if id(function) not in gone and not _hidden(script, function, plan.nest.epochs.target)
    )


def _hidden(script: Script, function: Function, name: str | None) -> bool:
    """Whether a function around this one has a name of its own."""
    outer = script.roles.outer.get(function)
    while outer is not None:
        if isinstance(outer, Function) and name not in free(outer):
            return True
        outer = script.roles.outer.get(outer)
    return False
