"""What follows an evaluation runs in eval mode: the Trainer has switched back by then, so it is switched again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from litify_converter.blocks import after_loop
from litify_converter.idioms.base import hook_items
from litify_converter.ir import Item, New, Plan, Scope, Variable
from litify_converter.read import Script
from litify_converter.variables import Variables, item_statements
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import free, walk_scope

# Layers and sources of networks for which the mode may make a difference.
DEPENDS = re.compile(
    r"[Dd]rop|BatchNorm|InstanceNorm|Transformer|MultiheadAttention|RReLU|\.training\b|torchvision\.models"
    r"|import_module|torch_geometric|timm|transformers|torch\.hub|from_pretrained|torch\.load"
)
WEIGHTS = {"state_dict", "parameters", "named_parameters", "load_state_dict"}
Models = Iterable[Variable | str | None]


def modes_matter(script: Script, models: Models) -> bool:
    """Whether a network may compute something else in eval mode; all of those written in the script are looked at."""
    if DEPENDS.search(script.text):
        return True
    for model in models:
        if not isinstance(model, Variable):
            return True
        for node in walk_scope(model.scope.body):
            if isinstance(node, ast.Assign) and any(dotted(t) == model.name for t in node.targets):
                calls = [n for n in ast.walk(node.value) if isinstance(n, ast.Call)]
                if not any(_is_known(c, script) for c in calls):
                    return True
    return False


def _is_known(call: ast.Call, script: Script) -> bool:
    name = dotted(call.func) or ""
    return name in script.roles.module_classes() or (script.imports.resolve(call.func) or "").startswith(
        "torch.nn."
    )


def uses_first(script: Script, code: Iterable[ast.stmt], scope: Scope, model: str) -> bool:
    """Whether code computes with a model before it sets the model's mode itself."""
    for statement in code:
        names = [
            n for n in walk_scope(statement) if isinstance(n, ast.Name) and n.id == model.partition(".")[0]
        ]
        called = {script.roles.callee(n, scope) for n in walk_scope(statement) if isinstance(n, ast.Call)}
        inside = [f for f in called if f is not None and model in free(f)]
        sets = {a.attr for f in [statement, *inside] for a in ast.walk(f) if isinstance(a, ast.Attribute)}
        if (names or inside) and sets & {"eval", "train"}:
            return False
        if inside or any(not _only_weights(statement, name) for name in names):
            return True
    return False


def _only_weights(statement: ast.stmt, name: ast.Name) -> bool:
    """`model.state_dict()`."""
    weights = [n for n in ast.walk(statement) if isinstance(n, ast.Attribute) and n.attr in WEIGHTS]
    return any(inner is name for node in weights for inner in ast.walk(node.value))


def stay_in_eval(script: Script, plan: Plan, models: Models, rest: list[Item]) -> bool:
    """Eval mode for what follows the evaluation in the epoch, and for what follows training.

    Args:
        rest: the items of on_train_epoch_end that follow.

    Returns:
        Whether the models are in eval mode when the next epoch begins, so that training mode must be switched on there.
    """
    models = list(models)
    if not modes_matter(script, models):
        return False
    variables = Variables(script, [i for _, i in hook_items(plan)] + rest)
    entry = plan.nest.entry
    texts = {m.name if isinstance(m, Variable) else m or "" for m in models}
    plan.left_in_eval |= {
        text for text in texts if uses_first(script, after_loop(entry.body, plan.nest.outer), entry, text)
    }
    used = [
        (scope, text)
        for item in rest
        for scope, code in item_statements(item, variables, plan)
        for text in sorted(texts)
        if uses_first(script, code, scope, text)
    ]
    for scope, text in dict.fromkeys(used):
        rest.insert(0, New(scope, f"{text}.eval()"))
    return bool(used)
