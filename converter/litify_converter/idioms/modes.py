"""`model.train()` in the loop of a script that never evaluates: the model is in training mode from the start."""

from __future__ import annotations

import ast

from litify_converter.effects import is_call_of
from litify_converter.idioms.base import Idiom, code_of, hook_items
from litify_converter.ir import Moved, Note, Plan
from litify_converter.read import Script
from litify_linter.reading.imports import dotted
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import walk_scope

# A network that comes from elsewhere may be in evaluation mode, as a whole or in part.
FROM_ELSEWHERE = ("from_pretrained", "torch.hub", "torch.load", "jit.load", "pickle.load")


class NeverEvaluated(Idiom):
    """Nothing in the script switches to evaluation mode, so switching to training mode does nothing."""

    name = "training-mode"

    def apply(self, script: Script, plan: Plan) -> bool:
        switches = [(n, i) for n, i in hook_items(plan) if _is_train(i, script)]
        if not switches or _may_evaluate(script):
            return False
        names = {dotted(i.statement.value.func.value) for _, i in switches}  # type: ignore[union-attr]
        if any(_is_given_away(name, script, plan) for name in names if name):
            return False
        for hook, item in switches:
            assert isinstance(item, Moved)
            plan.hooks[hook].items.remove(item)
            plan.dropped[item.statement] = "the model is in training mode from the start"
            plan.notes.append(
                Note("engineering", item.statement.lineno, "the model is in training mode from the start")
            )
            if not plan.hooks[hook].items and hook != "training_step":
                del plan.hooks[hook]
        return True


def _is_train(item: object, script: Script) -> bool:
    if not isinstance(item, Moved):
        return False
    call = is_call_of(item.statement, "train")
    return (
        call is not None
        and not call.args
        and not call.keywords
        and isinstance(call.func, ast.Attribute)
        and script.roles.of(call.func.value, item.scope) is Role.MODEL
    )


def _may_evaluate(script: Script) -> bool:
    if any(word in script.text for word in FROM_ELSEWHERE):
        return True
    for node in ast.walk(script.tree):
        match node:
            case ast.Attribute(attr="eval" | "training"):
                if node.attr == "eval" or isinstance(node.ctx, ast.Store):
                    return True
            case ast.Call(func=ast.Attribute(attr="train"), args=[_, *_]):
                return True
    return False


def _is_given_away(name: str, script: Script, plan: Plan) -> bool:
    """Whether a function that is not the script's gets the model in the loop: it may switch the mode."""
    for _, item in hook_items(plan):
        scope, statements = code_of(item, plan)
        for node in walk_scope(statements):
            if isinstance(node, ast.Call) and script.roles.callee(node, scope) is None:
                given = [*node.args, *(k.value for k in node.keywords)]
                if any(dotted(value) == name for value in given):
                    return True
    return False
