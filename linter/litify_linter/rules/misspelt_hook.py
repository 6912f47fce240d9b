from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.edits import replacement
from litify_linter.reading.file import Place
from litify_linter.reading.lightning import HOOKS, MODULE, LightningClass
from litify_linter.rule import Example, Finding, Rule

# What people write for a hook from memory, beside plain typing mistakes.
MISTAKEN = {
    "train_step": "training_step",
    "val_step": "validation_step",
    "valid_step": "validation_step",
    "validate_step": "validation_step",
    "testing_step": "test_step",
    "prediction_step": "predict_step",
    "training_dataloader": "train_dataloader",
    "validation_dataloader": "val_dataloader",
    "valid_dataloader": "val_dataloader",
    "train_loader": "train_dataloader",
    "val_loader": "val_dataloader",
    "test_loader": "test_dataloader",
    "configure_optimiser": "configure_optimizers",
    "configure_optimisers": "configure_optimizers",
    "on_training_epoch_end": "on_train_epoch_end",
    "on_training_epoch_start": "on_train_epoch_start",
    "on_val_epoch_end": "on_validation_epoch_end",
    "on_val_epoch_start": "on_validation_epoch_start",
}


class MisspeltHook(Rule):
    """A method that is almost, but not quite, named like a hook, and that nothing in the file calls.

    Why: The Trainer calls hooks by name. A misspelt one is simply never called: no validation runs, no batch is
    prepared, and nothing says so.

    Ignore when: The method is called from another file under this name.
    """

    code, name = "LIT803", "misspelt-hook"
    fix = "unsafe"
    severity = "error"
    message = "`{method}` is no hook and nothing here calls it; did you mean `{hook}`?"
    visits = (ast.ClassDef,)
    examples = (
        Example(
            bad="""
            from litify import LightningModule


            class Lit(LightningModule):
                def trainig_step(self, batch, batch_idx):
                    return self.loss(batch)

                def configure_optimizer(self):
                    return self.make_optimizer()
            """,
            good="""
            from litify import LightningModule


            class Lit(LightningModule):
                def training_step(self, batch, batch_idx):
                    return self.train_step(batch)

                def train_step(self, batch):
                    return self.loss(batch)

                def test_steps(self):
                    return 3

                def test_step(self, batch, batch_idx):
                    return self.loss(batch)
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """An undecorated public method near a hook's name, where that hook is not defined and the method not used."""
        cls = here.file.lightning.get(node) if isinstance(node, ast.ClassDef) else None
        if cls is None or cls.kind != MODULE:
            return
        for name, method in cls.methods.items():
            if (
                name in HOOKS
                or name.startswith("_")
                or method.decorator_list
                or name in here.file.attributes_read
                or _is_known_beside(cls, name)
            ):
                continue
            hook = MISTAKEN.get(name) or next((h for h in sorted(HOOKS) if _is_slip(name, h)), None)
            if hook is not None and not any(_defines(ancestor, hook) for ancestor in cls.lineage):
                renamed = replacement(method, here, hook)  # the span of a function is its name
                yield self.found(method, here, renamed, method=name, hook=hook)


def _defines(cls: ast.ClassDef, name: str) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == name for n in cls.body)


def _is_known_beside(cls: LightningClass, name: str) -> bool:
    """Whether a class it inherits from, in another file, calls or defines a method of this name."""
    return any(
        getattr(node, "attr", None) == name or getattr(node, "name", None) == name
        for ancestor in cls.lineage[1:]
        for node in ast.walk(ancestor)
    )


def _is_slip(name: str, hook: str) -> bool:
    """Whether one slip of the fingers turns `hook` into `name`; in long names two."""
    if abs(len(name) - len(hook)) > 2 or name[0] != hook[0] or len(hook) < 9:
        return False
    return _distance(name, hook) <= (2 if len(hook) > 12 and name.split("_")[0] == hook.split("_")[0] else 1)


def _distance(a: str, b: str) -> int:
    """Damerau-Levenshtein distance: insertions, deletions, changes, swaps of neighbours."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
