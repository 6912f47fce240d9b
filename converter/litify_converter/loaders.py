"""The loaders of the loops, and the data sets they were made of: hooks reach both through the Trainer."""

from __future__ import annotations

import ast

from litify_converter.blocks import statements_of
from litify_converter.ir import BatchLoop, Plan, Variable
from litify_converter.read import Script
from litify_converter.variables import Variables
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import bound

TRAIN, VALIDATION = "self.trainer.train_dataloader", "self.trainer.val_dataloaders"


def trainer_texts(script: Script, plan: Plan, variables: Variables) -> dict[Variable, str]:
    """Loaders that the Trainer is given and their data sets -> how a hook of the LightningModule reads them."""
    found: dict[Variable, str] = {}
    if "train_dataloader" in plan.hooks and len(plan.hooks["train_dataloader"].items) > 1:
        return found  # it runs before the Trainer has any loader
    anew = "train_dataloader" in plan.hooks  # it says itself which loader it gives
    sources = [] if anew else [(plan.nest.batches.scope, plan.nest.batches.source, TRAIN)]
    if plan.val_source is not None:
        sources.append((*plan.val_source, VALIDATION))
    for scope, source, text in sources:
        variable = variables.of(source.id, scope) if isinstance(source, ast.Name) else None
        if (
            variable is None
            or script.roles.of(ast.Name(variable.name, ast.Load()), variable.scope) is not Role.LOADER
        ):
            continue
        found.setdefault(variable, text)
        data = dataset_of(script, variable)
        if data is not None:
            found.setdefault(data, f"{text}.dataset")
    return found


def dataset_of(script: Script, loader: Variable) -> Variable | None:
    """The variable `data` where the loader is made once, as `DataLoader(data, ...)`, and `data` is made once too."""
    makers = _makers(loader)
    match makers:
        case [ast.Assign(value=ast.Call(args=args, keywords=keywords) as call)]:
            if (script.imports.resolve(call.func) or "") not in (
                "torch.utils.data.DataLoader",
                "torch.utils.data.dataloader.DataLoader",
            ):
                return None
            given = args[0] if args else next((k.value for k in keywords if k.arg == "dataset"), None)
            if isinstance(given, ast.Name) and len(_makers(Variable(loader.scope, given.id))) == 1:
                return Variable(loader.scope, given.id)
    return None


def _makers(variable: Variable) -> list[ast.stmt]:
    return [
        s
        for s in statements_of(variable.scope.body)
        if variable.name in bound(s) and not isinstance(getattr(s, "body", None), list)
    ]


def is_length(
    node: ast.expr, loop: BatchLoop, variables: Variables, script: Script, of_dataset: bool
) -> bool:
    """`len(loader.dataset)` or `len(data)` of the loop's own loader; with `of_dataset` False `len(loader)`."""
    if not isinstance(loop.source, ast.Name):
        return False
    loader = variables.of(loop.source.id, loop.scope)
    if loader is None:
        return False
    match node:
        case ast.Call(func=ast.Name(id="len"), args=[ast.Attribute(value=ast.Name(id=name), attr="dataset")]):
            return of_dataset and variables.of(name, loop.scope) == loader and not _skips_samples(loader)
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]):
            variable = variables.of(name, loop.scope)
            if not of_dataset:
                return variable == loader
            return (
                variable is not None and variable == dataset_of(script, loader) and not _skips_samples(loader)
            )
    return False


def _skips_samples(loader: Variable) -> bool:
    """Whether the loader may leave out samples of its data set, so that its batches do not add up to it."""
    keywords = {
        k.arg for s in _makers(loader) for n in ast.walk(s) if isinstance(n, ast.Call) for k in n.keywords
    }
    return bool(keywords & {"drop_last", "sampler", "batch_sampler"})
