"""Where Lightning's Trainer does something else than litify's, the result for lightning is written in another form.

With `reload_dataloaders_every_n_epochs` Lightning asks each new loader for its iterator twice, once when it has made it
and once when the epoch begins (`FitLoop.setup_data`, `_TrainingEpochLoop.on_run_start`): a loader that shuffles draws one
random number too many, and of batches without a length the first is fetched twice, or lost. What is no DataLoader it
also iterates once more to see whether it can (`_check_dataloader_iterable`): so nothing happens before the first batch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_converter.ir import Hook, Item, New, Plan
from litify_converter.lowering.listed import is_list
from litify_converter.read import Script

EACH_EPOCH = '''class EachEpoch:
    """Batches that are made anew in each epoch, when the first of them is asked for."""

    def __init__(self, make):
        self.make = make

    def __iter__(self):
        yield from self.make()
'''
BEGUN_LATE = '''class BegunLate:
    """A loader that begins with its first batch: Lightning asks a loader that it reloads for its iterator twice."""

    def __init__(self, loader):
        self.loader = loader

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        yield from self.loader

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.loader, name)
'''
# What `litify` exports itself, and Lightning only in one of its modules.
MODULES = {"CombinedLoader": "lightning.pytorch.utilities"}


def import_lines(names: Iterable[str], target: str) -> dict[str, list[str]]:
    """Names of the runtime by the module that they are imported from."""
    lines: dict[str, list[str]] = {}
    for name in names:
        package = MODULES.get(name, target) if target == "lightning" else target
        lines.setdefault(package, []).append(name)
    return dict(sorted(lines.items()))


def iterate_once(script: Script, plan: Plan) -> None:
    """Batches that each epoch makes anew are begun once in each epoch under Lightning too; a list is one loader."""
    hook = plan.hooks.get("train_dataloader")
    batches = plan.nest.batches
    if hook is None and batches.source is not None and is_list(script, batches.source, batches.scope):
        source = ast.unparse(batches.source)  # Lightning would take the items for loaders
        item = New(batches.scope, f"return EachEpoch(lambda: {source})")
        plan.hooks["train_dataloader"] = Hook("train_dataloader", [item])
        plan.support.append(EACH_EPOCH)
        return
    if hook is None or "reload_dataloaders_every_n_epochs" not in plan.trainer_text:
        return
    *first, last = hook.items
    assert isinstance(last, New)
    source = last.text.removeprefix("return ")
    if source.startswith("range("):  # it may be begun twice
        return
    made: Item
    if first:
        made = New(last.scope, f"return BegunLate({source})")
        support = BEGUN_LATE
    else:
        made = New(last.scope, f"return EachEpoch(lambda: {source})")
        support = EACH_EPOCH
        del plan.trainer_text["reload_dataloaders_every_n_epochs"]
    hook.items = [*first, made]
    there = {
        ast.dump(s) for s in script.tree.body if isinstance(s, ast.ClassDef)
    }  # of a loop before this one
    if ast.dump(ast.parse(support).body[0]) not in there:
        plan.support.append(support)
