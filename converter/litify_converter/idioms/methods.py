"""Functions that read the script's own globals, and that only training and what follows it call, become methods."""

from __future__ import annotations

import ast

from litify_converter.blocks import after_loop, beside_loop, shallow, statements_of
from litify_converter.idioms.base import Idiom, Unproven, hook_items
from litify_converter.idioms.evaluation import is_no_grad
from litify_converter.idioms.setup import is_constant
from litify_converter.ir import TRAINER, Hook, Moved, Plan
from litify_converter.read import Script
from litify_converter.reserved import attribute_name
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, exposed, free, read

OF_MODULE = (Role.MODEL, Role.CRITERION)
# What a method would have to ask the Trainer for.
OF_TRAINER = (Role.OPTIMIZER, Role.SCHEDULER, Role.SCALER)


class Methods(Idiom):
    """`def test(loader)` that reads the global `model` is `def test(self, loader)`, which reads `self.model`.

    All such functions of a script go into the module; or, where one can't, all that need its networks; or none.
    """

    name = "methods"

    def apply(self, script: Script, plan: Plan) -> bool:
        tree = script.tree
        if (
            plan.nest.entry is not tree
            or plan.owner is not None
            or plan.nest.repeated
            or plan.nest.of_several
        ):
            return False
        shared = _shared(script, plan)
        networks = {n for n in shared if script.roles.of(ast.Name(n, ast.Load()), tree) in OF_MODULE}
        functions = _readers(script, plan, shared)
        try:
            _check_all(script, plan, functions, shared)
        except Unproven:
            functions = _readers(script, plan, networks)
            _check_all(script, plan, functions, shared)
        if not functions:
            return False
        hooks = {}
        for function in functions:
            name = attribute_name(function.name)
            plan.methods[function.name] = name
            hooks[name] = Hook(name, [Moved(function, s) for s in function.body], function=function)
        last = plan.hooks.pop("configure_optimizers")
        plan.hooks = {**plan.hooks, **hooks, last.name: last}
        plan.absorbed += functions
        return True


def _check_all(script: Script, plan: Plan, functions: list[Function], shared: set[str]) -> None:
    after = bound(s for s in after_loop(script.tree.body, plan.nest.outer) if not isinstance(s, Function))
    for function in functions:
        _check(script, plan, function, shared)
        if changed := free(function) & after & shared:
            raise Unproven(
                f"`{min(changed)}`, which {function.name}() reads, changes after training", function
            )
    names = {f.name for f in functions}
    _check_uses(script, plan, names)
    later = exposed(after_loop(script.tree.body, plan.nest.outer)) & names
    if later and script.tree.body[0] not in beside_loop(script.tree.body, plan.nest.outer):
        raise Unproven(f"{min(later)}() is called where nothing may be trained", plan.nest.outer)


def _shared(script: Script, plan: Plan) -> set[str]:
    """Names of the set-up's own variables: neither definitions, imports nor constants."""
    tree = script.tree
    kinds = (Function, ast.ClassDef, ast.Import, ast.ImportFrom)
    return {n for s in tree.body if not isinstance(s, kinds) and not is_constant(tree, s) for n in bound([s])}


def _readers(script: Script, plan: Plan, shared: set[str]) -> list[Function]:
    """Functions that stay and read such variables, themselves or through others, in order."""
    staying = [f for f in script.tree.body if isinstance(f, Function) and f not in plan.absorbed]
    found: set[str] = set()
    while True:
        more = {f.name for f in staying if free(f) & (shared | found)}
        if more <= found:
            return [f for f in staying if f.name in found]
        found |= more


def _check(script: Script, plan: Plan, function: Function, shared: set[str]) -> None:
    """A function that means the same with its globals as attributes.

    Raises:
        Unproven: it does not.
    """
    name, tree = function.name, script.tree
    if isinstance(function, ast.AsyncFunctionDef) or any(
        not is_no_grad(script, d) for d in function.decorator_list
    ):
        raise Unproven(f"{name}() has a decorator", function)
    defined = [s for s in statements_of(tree.body) if name in bound(shallow(s))]
    if defined != [function]:
        raise Unproven(f"{name}() is defined more than once", function)
    inside = list(ast.walk(function))
    if any(isinstance(n, ast.Global | ast.Nonlocal) for n in inside):
        raise Unproven(f"{name}() sets globals", function)
    if any(isinstance(n, ast.Attribute) and n.attr in ("backward", "step", "zero_grad") for n in inside):
        raise Unproven(f"{name}() computes gradients", function)
    if {"self", TRAINER} & {n.id for n in inside if isinstance(n, ast.Name)} or any(
        isinstance(n, ast.arg) and n.arg == "self" for n in inside
    ):
        raise Unproven(f"{name}() uses the name self", function)
    defaults = [*function.args.defaults, *(d for d in function.args.kw_defaults if d is not None)]
    if any(read(d) & shared for d in defaults):
        raise Unproven(f"a default of {name}() is worked out in the set-up", function)
    of_trainer = {n for n in free(function) if script.roles.of(ast.Name(n, ast.Load()), tree) in OF_TRAINER}
    if of_trainer or plan.nest.epochs.target in free(function):
        raise Unproven(f"{name}() reads the optimizer or the number of the epoch", function)


def _check_uses(script: Script, plan: Plan, names: set[str]) -> None:
    """The functions are only called, by hooks, by each other and by what follows training.

    Raises:
        Unproven: one of them is handed on, or called before the module is made.
    """
    hooks = [item.statement for _, item in hook_items(plan) if isinstance(item, Moved)]
    after = [s for s in after_loop(script.tree.body, plan.nest.outer) if not isinstance(s, ast.ClassDef)]
    written_out = [f for f in script.tree.body if f in plan.absorbed]
    places = [n for s in (*hooks, *after, *written_out, plan.nest.outer) for n in ast.walk(s)]
    called = {n.func for n in places if isinstance(n, ast.Call)}
    called |= {
        n.func
        for f in script.tree.body
        if isinstance(f, Function) and f.name in names
        for s in f.body
        for n in ast.walk(s)
        if isinstance(n, ast.Call)
    }
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Name) and node.id in names and node not in called:
            raise Unproven(f"{node.id}() is used before training, or handed on", node)
        if isinstance(node, ast.arg) and node.arg in names:
            raise Unproven(f"`{node.arg}` is also the name of a parameter", node)
