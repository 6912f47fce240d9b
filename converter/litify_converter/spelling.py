"""How names and expressions of the script are spelled in the result: in hooks, and in the entry around them."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable

import libcst as cst

from litify_converter.batch_argument import parts_of_batch
from litify_converter.ir import TRAINER, Hook, Plan, Scope, Variable
from litify_converter.lifetimes import Home, Homes
from litify_converter.read import Script
from litify_converter.rewrite import Rewriter
from litify_linter.reading.scopes import bound, parameters

# Names that stand for a hook's own parameters in statements that the plan writes.
HOOK_NAMES: dict[str, str] = {
    "BATCH__": "batch",
    "BATCH_IDX__": "batch_idx",
    "SELF__": "self",
    TRAINER: "self.trainer",
}


class Spelling:
    """Answers for one plan and its homes."""

    def __init__(self, script: Script, plan: Plan, homes: Homes) -> None:
        self.script = script
        self.plan = plan
        self.homes = homes
        self.variables = homes.variables
        self.batch_names = self._batch_names()

    def entry_name(self, scope: Scope) -> Callable[[str], str | None]:
        """In the entry a variable that moved into the class is read through the instance."""

        def text(name: str) -> str | None:
            if scope is not self.plan.nest.entry:
                return None
            if name == TRAINER:
                return self.trainer
            variable = self.variables.of(name, scope)
            if variable is None and name in self.plan.methods:
                return f"{self.instance}.{self.plan.methods[name]}"
            if variable is not None and self.is_inside(variable):
                return f"{self.instance}.{self.homes.text[variable].removeprefix('self.')}"
            return None

        return text

    def is_inside(self, variable: Variable) -> bool:
        """Whether `__init__` of the class makes the variable, so that the entry has no name for it."""
        init = self.homes.usages.get("__init__")
        return init is not None and variable in init.bound

    def _names_of_entry(self) -> set[str]:
        entry = self.plan.nest.entry
        own = set() if isinstance(entry, ast.Module) else set(parameters(entry))
        return own | bound(entry.body) | bound(self.script.tree.body)

    @property
    def trainer(self) -> str:
        """The name of the Trainer in the entry."""
        return _free("trainer", self._names_of_entry())

    @property
    def instance(self) -> str:
        """The name of the LightningModule in the entry."""
        taken = self._names_of_entry()
        taken -= {v.name for v in self.homes.home if self.is_inside(v)}
        return _free("model", taken)

    def entry_text(self, scope: Scope, expression: ast.expr) -> str:
        """An expression of a written-out function, in the names of the entry."""

        def name_text(name: str) -> str | None:
            if name == TRAINER:
                return self.trainer
            variable = self.variables.of(name, scope)
            if variable in self.variables.constant:
                bind = self.variables.constant[variable]
                return self.entry_text(bind.value_scope, bind.value)
            if variable is None:
                return f"{self.instance}.{self.plan.methods[name]}" if name in self.plan.methods else None
            inside = self.entry_name(self.plan.nest.entry)(variable.name)
            return inside if inside is not None else variable.name

        return self.rewrite_expression(scope, expression, name_text, lambda name, field: None)

    def rewrite_expression(
        self,
        scope: Scope,
        expression: ast.expr,
        name_text: Callable[[str], str | None],
        field_text: Callable[[str, str], str | None],
        in_hook: bool = False,
        at_epoch_end: bool = False,
    ) -> str:
        rewriter = Rewriter(
            scope,
            self.script.roles,
            name_text,
            field_text,
            {},
            in_hook,
            self.batch_names,
            expressions=self.plan.expressions if at_epoch_end else None,
        )
        node = cst.parse_expression(ast.unparse(expression))
        made = node.visit(rewriter)
        assert isinstance(made, cst.BaseExpression)
        return cst.Module([]).code_for_node(made)

    def hook_text(self, scope: Scope, expression: ast.expr, hook: Hook) -> str:
        """An expression of the script as it is spelled in a hook."""
        name_text, field_text = self.hook_names(scope, hook)
        at_end = hook.name.endswith("epoch_end")
        return self.rewrite_expression(
            scope, expression, name_text, field_text, in_hook=True, at_epoch_end=at_end
        )

    def hook_names(
        self, scope: Scope, hook: Hook
    ) -> tuple[Callable[[str], str | None], Callable[[str, str], str | None]]:
        homes = self.homes

        def name_text(name: str) -> str | None:
            if name in HOOK_NAMES:
                return HOOK_NAMES[name]
            variable = self.variables.of(name, scope)
            if variable in self.variables.constant:
                bind = self.variables.constant[variable]
                return self.hook_text(bind.value_scope, bind.value, hook)
            if hook.name == "configure_optimizers" and variable in homes.given:
                return homes.given[variable]
            if variable is None and name in self.plan.methods:
                return f"self.{self.plan.methods[name]}"
            return homes.text.get(variable) if variable is not None else None

        def field_text(name: str, field: str) -> str | None:
            variable = self.variables.of(name, scope)
            owner = self.plan.owner
            if owner is not None and variable == owner.self_name:
                return field if field in owner.optimizers and hook.name != "configure_optimizers" else None
            if variable is None or homes.home.get(variable) is not Home.HYPERPARAMETER:
                return None
            return field if hook.name == "__init__" else f"self.hparams.{field}"

        return name_text, field_text

    def _batch_names(self) -> frozenset[str]:
        """Names of the parts of a batch: the Trainer has moved them."""
        return frozenset(parts_of_batch(self.plan))

    def imported(self, name: str) -> str:
        """A name of the runtime as it is imported: under another name where the script has one of its own."""
        here = self.runtime_name(name)
        return name if here == name else f"{name} as {here}"

    def is_imported(self, name: str) -> bool:
        """Whether the script has a name of the runtime already: it is the result for another loop of it."""
        return self.script.imports.names.get(name) in (f"litify.{name}", f"lightning.{name}")

    def runtime_name(self, name: str) -> str:
        """`Trainer`, or `LitTrainer` in a script that has a Trainer of its own."""
        own = name in bound(self.script.tree.body) and not self.is_imported(name)
        return f"Lit{name}" if own else name


def _free(name: str, taken: set[str]) -> str:
    """`name`, or else `lit_name`, `lit_name_2` ..."""
    names = (f"lit_{name}_{number}" for number in itertools.count(2))
    return next(n for n in itertools.chain([name, f"lit_{name}"], names) if n not in taken)
