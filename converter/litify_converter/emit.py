"""Stage 6, emit: Plan + Homes -> the text of the result, by moving the user's own libcst statements."""

from __future__ import annotations

import ast

import libcst as cst

from litify_converter.batch_argument import name_batch
from litify_converter.blocks import after_loop, is_guard
from litify_converter.device_choice import owners_device
from litify_converter.epochs import epoch_after
from litify_converter.ir import TRAINER, Bind, Hook, Item, Moved, New, Plan, Scope
from litify_converter.lifetimes import DEFINING, Home, Homes, find_homes
from litify_converter.lightning import import_lines
from litify_converter.moves import moved_by_hand, run_by
from litify_converter.notebook import is_command_line
from litify_converter.options import options, signature
from litify_converter.pieces import (
    Statements,
    as_method,
    class_statement,
    comments_above,
    comments_of,
    footer_comments,
    header_comments,
    interrupt_handlers,
    is_docstring,
    is_import,
    main_function,
    opened_guard,
    rewritten,
    statements,
    with_comments,
    without_blank_lines,
    without_trainer,
)
from litify_converter.read import CstStatement, Script
from litify_converter.rewrite import Rewriter
from litify_converter.spelling import Spelling
from litify_converter.trainer_use import early_use
from litify_converter.variables import hook_usage, is_redundant
from litify_linter.reading.roles import Role
from litify_linter.reading.scopes import Function, bound, exposed


class Emitter:
    """Writes one plan. `emit()` gives the text of the whole file, not yet formatted."""

    def __init__(self, script: Script, plan: Plan, homes: Homes, target: str) -> None:
        self.script = script
        self.plan = plan
        self.homes = homes
        self.target = target
        self.variables = homes.variables
        self.spelling = Spelling(script, plan, homes)
        self.data = self._data_emitter()
        self.early: ast.stmt | None = None  # the statement before which the Trainer is made
        self.inner_edits: dict[int, Statements] = {id(script.cst_of[s]): [] for s in plan.dropped} | {
            id(script.cst_of[s]): statements(text) for s, text in plan.replaced.items()
        }

    def _data_emitter(self) -> Emitter | None:
        """The emitter of the DataModule's methods."""
        plan = self.plan
        if not plan.data_name:
            return None
        half = Plan(
            plan.nest,
            plan.data_class,
            plan.data_hooks,
            moved_setup=plan.moved_setup,
            absorbed=plan.absorbed,
            wrapped=plan.wrapped,
            of_data=True,
        )
        return Emitter(self.script, half, find_homes(self.script, half), self.target)

    def emit(self) -> str:
        edits: dict[int, Statements] = {id(self.script.cst_of[s]): [] for s in self.plan.moved_setup}
        edits |= {id(self.script.cst_of[f]): [] for f in self.plan.absorbed}
        edits |= self.inner_edits
        self.early = early_use(self.plan)
        if self.plan.chosen is not None:
            self.early, device = self.plan.chosen
            asked = device.replace(TRAINER, self.spelling.trainer)
            node = self.script.cst_of[self.early]
            made = statements(f"{self._trainer_text()}\n{asked}")
            edits[id(node)] = with_comments(made, node.leading_lines)
        loop = self.script.cst_of[self.plan.nest.outer]
        above = comments_above([self.script.cst_of[s] for s in self.plan.starts], loop)
        edits[id(loop)] = with_comments(self._entry_statements(), above)
        edits |= self._instance_edits()
        first = self._first_use()
        body: Statements = []
        main: Statements = []
        for statement, node in zip(self.script.tree.body, self.script.module.body, strict=True):
            if statement is first and not self.plan.wrapped:
                body += self._classes()
            made = self._rewritten_entry(statement, node, edits)
            if statement in self.plan.wrapped:
                main += opened_guard(made) if is_guard(statement) else made
            else:
                body += made
        if self.plan.wrapped:
            body += [*self._classes(), *main_function(main)]
        return self._with_import(self.script.module.with_changes(body=body))

    def _first_use(self) -> ast.stmt:
        """The first top-level statement that uses the classes: they come before it."""
        init = self.plan.hooks.get("__init__")
        made = [i.statement for i in (init.items if init else []) if isinstance(i, Moved)]
        users = [self.plan.nest.outer, *([] if self.plan.instance_last else made[:1])]
        return min((self._top_level_of(s) for s in users), key=lambda s: s.lineno)

    # -- the entry: what stays where it was ------------------------------------------------------------------------

    def _rewritten_entry(
        self, statement: ast.stmt, node: CstStatement, edits: dict[int, Statements]
    ) -> Statements:
        entry = self.plan.nest.entry
        if isinstance(statement, ast.ClassDef) and (
            self.plan.owner is None or statement is not self.plan.owner.node
        ):
            return [node]
        scope: Scope = self.script.tree
        if isinstance(statement, Function):
            if (
                statement is not entry
                and statement not in self.plan.absorbed
                and entry not in ast.walk(statement)
            ):
                return [node]
            scope = entry
        rewriter = Rewriter(
            scope,
            self.script.roles,
            self.spelling.entry_name(scope),
            lambda name, field: None,
            edits,
            in_hook=False,
            interrupted=interrupt_handlers(self.script, entry, self.plan.nest.outer),
            own=self.script.cst_of[entry] if isinstance(entry, Function) else None,
            insertions=self._insertions(),
        )
        return rewritten(node, rewriter)

    def _insertions(self) -> dict[int, Statements]:
        if self.early is None or self.plan.chosen is not None:
            return {}
        return {id(self.script.cst_of[self.early]): statements(self._trainer_text())}

    def _instance_edits(self) -> dict[int, Statements]:
        """Where `__init__` builds modules, the instance is made in the place of the first of them."""
        init = self.plan.hooks.get("__init__")
        if init is None or not init.items or self.plan.instance_last:
            return {}
        first = next(i.statement for i in init.items if isinstance(i, Moved))
        node = self.script.cst_of[first]
        blank = [
            line for line in node.leading_lines if line.comment is None
        ]  # the comments went with the model
        return {id(node): with_comments(statements(self._instance_text()), blank)}

    def _instance_text(self) -> str:
        return f"{self.spelling.instance} = {self.plan.class_name}({self.arguments()})"

    def arguments(self) -> str:
        """What the entry passes to the class."""
        return ", ".join(
            ast.unparse(v) if v is not None else name for name, v in self.homes.parameters.items()
        )

    def _entry_statements(self) -> Statements:
        """What takes the loop's place."""
        plan = self.plan
        made_before = "__init__" in plan.hooks and plan.hooks["__init__"].items and not plan.instance_last
        lines = [] if made_before else [self._instance_text()]
        if self.data is not None:
            lines.append(f"{plan.data_name} = {plan.data_class}({self.data.arguments()})")
        if self.early is None:
            lines.append(self._trainer_text())
        lines.append(
            f"{self.spelling.trainer}.fit({', '.join([self.spelling.instance, *self._data_arguments()])})"
        )
        lines += self._back_to_device()
        lines += [
            f"{self.spelling.entry_text(plan.nest.entry, ast.parse(text, mode='eval').body)}.eval()"
            for text in sorted(plan.left_in_eval)
        ]
        lines += epoch_after(plan, self.homes, self.spelling.trainer)
        for variable, attribute in self.homes.read_back.items():
            if not self.spelling.is_inside(variable):
                lines.append(f"{variable.name} = {self.spelling.instance}.{attribute}")
        return statements("\n".join(lines))

    def _trainer_text(self) -> str:
        arguments = [f"{k}={self.spelling.entry_text(*v)}" for k, v in self.plan.trainer.items()]
        arguments += [f"{k}={v}" for k, v in self.plan.trainer_text.items()]
        return f"{self.spelling.trainer} = {self.spelling.runtime_name('Trainer')}({', '.join(arguments)})"

    def _back_to_device(self) -> list[str]:
        """Lightning leaves the model on the CPU; code after training that runs it has its tensors where the script put them."""
        plan, entry, roles = self.plan, self.plan.nest.entry, self.script.roles
        after = after_loop(entry.body, plan.nest.outer)
        names = exposed(after)
        if plan.owner is not None:
            own = plan.owner.self_name.name
            attribute = owners_device(self.script, plan) if own in names else None
            return [f"{self.spelling.instance}.to({own}.{attribute})"] if attribute is not None else []
        models = {
            v.name for v in self.homes.home if roles.of(ast.Name(v.name, ast.Load()), v.scope) is Role.MODEL
        }
        methods = names & set(plan.methods)
        if not names & models and not methods:
            return []
        if methods:  # what the set-up put on the device is with them
            names |= {
                n for s in entry.body if s not in plan.moved_setup | set(plan.dropped) for n in bound(s)
            }
        devices = [n for n in sorted(names) if roles.of(ast.Name(n, ast.Load()), entry) is Role.DEVICE]
        if devices:
            return [f"{self.spelling.instance}.to({devices[0]})"]
        test = moved_by_hand(self.script, plan)
        moved = models if methods else run_by(after, models)
        if test is None or not moved:
            return []
        texts = [self.spelling.entry_text(entry, ast.Name(n, ast.Load())) for n in sorted(moved)]
        there = [f"{text}.cuda()" for text in texts]
        if test is True:
            return there
        return [f"if {self.spelling.entry_text(entry, test)}:\n    " + "\n    ".join(there)]

    def _data_arguments(self) -> list[str]:
        plan = self.plan
        if plan.data_name:
            return [plan.data_name]
        batches = plan.nest.batches
        if "train_dataloader" in plan.hooks:
            return (
                [f"val_dataloaders={self.spelling.entry_text(*plan.val_source)}"] if plan.val_source else []
            )
        source = (
            "range(1)" if batches.source is None else self.spelling.entry_text(batches.scope, batches.source)
        )
        return [source] + ([self.spelling.entry_text(*plan.val_source)] if plan.val_source else [])

    # -- the classes -----------------------------------------------------------------------------------------------

    def _classes(self) -> Statements:
        support = [s for text in self.plan.support for s in statements(text)]
        return [
            *support,
            *self._module_class(),
            *(self.data.emit_data_class() if self.data is not None else []),
        ]

    def emit_data_class(self) -> Statements:
        """The DataModule; `self` is the emitter of the plan's data half."""
        first = ["super().__init__()"]
        first += self._save_hyperparameters()
        first += [f"self.{attribute} = {parameter}" for attribute, parameter in self.homes.attributes.items()]
        init = Hook("__init__", [], tuple(self._signature()), first)
        hooks = ([init] if self.homes.parameters else []) + list(self.plan.hooks.values())
        made = [h for hook in hooks if (h := self._hook(hook)) is not None]
        return class_statement(self.plan.class_name, self.spelling.runtime_name("LightningDataModule"), made)

    def _module_class(self) -> Statements:
        hooks = [self._init(), *(self._hook(h) for n, h in self.plan.hooks.items() if n != "__init__")]
        return class_statement(
            self.plan.class_name,
            self.spelling.runtime_name("LightningModule"),
            [h for h in hooks if h is not None],
        )

    def _init(self) -> cst.FunctionDef | None:
        homes = self.homes
        first = ["super().__init__()"]
        first += self._save_hyperparameters()
        if not self.plan.automatic:
            first.append("self.automatic_optimization = False")
        first += [
            (
                f'self.register_buffer("{attribute}", {parameter}, persistent=False)'
                if attribute in homes.buffers
                else f"self.{attribute} = {parameter}"
            )
            for attribute, parameter in homes.attributes.items()
        ]
        items = self.plan.hooks["__init__"].items if "__init__" in self.plan.hooks else []
        if len(first) == 1 and not items:
            return None  # nothing of its own
        hook = Hook("__init__", items, tuple(self._signature()), first)
        return self._hook(hook)

    def _save_hyperparameters(self) -> list[str]:
        """Arguments that are plain values are saved; objects that the set-up made are not."""
        objects = {*self.homes.attributes.values(), *self.homes.only_built_from}
        plain = [p for p in self.homes.parameters if p in objects]
        if len(plain) == len(self.homes.parameters):
            return []
        return [f"self.save_hyperparameters({f'ignore={plain!r}' if plain else ''})"]

    def _signature(self) -> list[str]:
        """The parameters of `__init__`; those that the command line sets carry its types and defaults."""
        fields = {f for names in self.homes.fields.values() for f in names}
        known = {n: v for n, v in options(self.script.tree).items() if n in fields}
        return signature(list(self.homes.parameters), known)

    def _hook(self, hook: Hook) -> cst.FunctionDef | None:
        """A method of the result; None where nothing is left of it."""
        if hook.function is not None:
            node = self.script.cst_of[hook.function]
            return as_method(self._moved(node, hook.function, hook, own=node), hook.name)
        hook = name_batch(hook, self.homes)
        body: Statements = statements("\n".join(self._prologue(hook) + hook.first))
        own: Statements = []
        for item in hook.items:
            own += self._item(item, hook)
        body += with_comments(own, self._comments_before(hook)) + statements("\n".join(hook.last))
        if not body and hook.name != "training_step":
            return None
        parameters = ", ".join(["self", *hook.parameters])
        body = [without_blank_lines(body[0]), *body[1:]] if body else []
        function = statements(f"def {hook.name}({parameters}):\n    pass\n")[0]
        assert isinstance(function, cst.FunctionDef)
        return function.with_changes(
            body=cst.IndentedBlock(body or statements("pass"), footer=self._comments_behind(hook)),
            leading_lines=[cst.EmptyLine(indent=False)],
        )

    def _comments_before(self, hook: Hook) -> list[cst.EmptyLine]:
        """Comments on the calls that are written out, and on the batch loop, which training_step stands for."""
        nest = self.plan.nest
        lines: list[cst.EmptyLine] = []
        start = self.plan.hooks.get("on_train_epoch_start")
        dropped = self.plan.dropped
        speaks = start is not None and any(
            isinstance(i, New) or (isinstance(i, Moved) and i.statement not in dropped) for i in start.items
        )
        if hook.name == ("on_train_epoch_start" if speaks else "training_step"):
            items = [i for h in self.plan.hooks.values() for i in h.items]
            shown = {i.origin for i in items if isinstance(i, New)}  # these bring their comments
            calls = [c.statement for c in nest.calls if c.statement not in shown]
            lines += [li for c in calls for li in header_comments(self.script.cst_of[c])]
        loop = nest.batches.statement
        if hook.name == "training_step" and loop is not None and loop is not nest.outer:
            lines += header_comments(self.script.cst_of[loop])
        return lines

    def _comments_behind(self, hook: Hook) -> list[cst.EmptyLine]:
        """Comments behind the last statement of a loop's body, which the hook took over."""
        nest = self.plan.nest
        loops = {"training_step": nest.batches.statement, "on_train_epoch_end": nest.epochs.statement}
        loop = loops.get(hook.name)
        return footer_comments(self.script.cst_of[loop]) if loop is not None else []

    def _prologue(self, hook: Hook) -> list[str]:
        """Locals that a hook takes from the Trainer before it starts: epoch, optimizers, schedulers, globals."""
        if hook.name in ("__init__", "configure_optimizers"):
            return []
        used = hook_usage(hook, self.variables, self.plan)
        home, text = self.homes.home, self.homes.text
        lines = []
        shared = sorted(text[v] for v in used.bound if home[v] is Home.GLOBAL)
        epoch = next((v for v in used.read if home[v] is Home.EPOCH), None)
        if shared:
            lines.append(f"global {', '.join(shared)}")
        if epoch is not None:
            lines.append(f"{text[epoch]} = {self._epoch_text(hook)}")
        owner = self.plan.owner
        if owner is not None and owner.optimizers:
            mentioned = self._owner_fields(hook)
            if mentioned & set(owner.optimizers):
                names = [n if n in mentioned else "_" for n in owner.optimizers]
                lines.append(f"{', '.join(names)} = self.optimizers()")
        for kind, method in ((Home.OPTIMIZER, "optimizers"), (Home.SCHEDULER, "lr_schedulers")):
            every = self.plan.optimizers if kind is Home.OPTIMIZER else self.plan.schedulers
            wanted = [v for v in every if home.get(v) is kind]
            if any(v in used.read for v in wanted):
                names = [text[v] if v in used.read else "_" for v in wanted]
                lines.append(f"{', '.join(names)} = self.{method}()")
        return lines

    def _owner_fields(self, hook: Hook) -> set[str]:
        """Fields of the owner's instance that a hook mentions."""
        owner = self.plan.owner
        parts = [part for item in hook.items for part in code_parts(item)]
        return {
            node.attr
            for scope, nodes in parts
            for node in (n for one in nodes for n in ast.walk(one))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and owner is not None
            and self.variables.of(node.value.id, scope) == owner.self_name
        }

    def _epoch_text(self, hook: Hook) -> str:
        epochs = self.plan.nest.epochs
        if epochs.first is None or (isinstance(epochs.first, ast.Constant) and epochs.first.value == 0):
            return "self.current_epoch"
        return f"self.current_epoch + {self.spelling.hook_text(epochs.scope, epochs.first, hook)}"

    # -- items -----------------------------------------------------------------------------------------------------

    def _item(self, item: Item, hook: Hook) -> Statements:
        match item:
            case Moved(scope, statement):
                if statement in self.plan.dropped:
                    return []
                node = self.script.cst_of[statement]
                if statement in self.plan.starts:
                    node = node.with_changes(leading_lines=[])
                made = self._moved(node, scope, hook)
                return [*made, *self._kept_definitions(statement, scope)]
            case New(scope, text, origin):
                made = [s for one in statements(text) for s in self._moved(one, scope, hook)]
                leading = comments_of(self.script.cst_of[origin]) if origin is not None else ()
                return with_comments(made, leading)
            case Bind():
                if is_redundant(item, self.variables):
                    return []
                target = self.spelling.hook_text(item.target_scope, item.target, hook)
                value = self.spelling.hook_text(item.value_scope, item.value, hook)
                return [] if target == value else statements(f"{target} = {value}")

    def _kept_definitions(self, statement: ast.stmt, scope: Scope) -> Statements:
        """A function, class or module that another hook needs too: its name can't be an attribute where it is made."""
        if not isinstance(statement, Function | ast.ClassDef | ast.Import | ast.ImportFrom):
            return []
        lines = []
        for name in sorted(bound([statement])):
            variable = self.variables.of(name, scope)
            if variable is not None and self.homes.home.get(variable) is Home.ATTRIBUTE:
                lines.append(f"{self.homes.text[variable]} = {name}")
        return statements("\n".join(lines))

    def _moved(
        self, node: cst.BaseStatement, scope: Scope, hook: Hook, own: cst.BaseStatement | None = None
    ) -> Statements:
        name_text, field_text = self.spelling.hook_names(scope, hook)
        rewriter = Rewriter(
            scope,
            self.script.roles,
            name_text,
            field_text,
            self.inner_edits,
            in_hook=not self.plan.of_data,
            batch_names=(
                self.spelling.batch_names if hook.name.endswith("_step") and own is None else frozenset()
            ),
            own=own,
            of_data=self.plan.of_data and hook.name != "prepare_data",
            expressions=self.plan.expressions if hook.name.endswith("epoch_end") else None,
            guarded=frozenset(id(self.script.cst_of[s]) for s in self.plan.guarded),
            placed=self.plan.placed and hook.name not in DEFINING,
        )
        return rewritten(node, rewriter)

    # -- around ----------------------------------------------------------------------------------------------------

    def _top_level_of(self, statement: ast.stmt) -> ast.stmt:
        """The top-level statement that holds `statement`."""
        return next(top for top in self.script.tree.body if any(n is statement for n in ast.walk(top)))

    def _with_import(self, module: cst.Module) -> str:
        wanted = [name for name in sorted(self.plan.imports) if not self.spelling.is_imported(name)]
        line: Statements = []
        for package, its in import_lines(wanted, self.target).items():
            names = ", ".join(self.spelling.imported(name) for name in its)
            line += statements(f"from {package} import {names}")
        if (
            isinstance(self.plan.nest.batches.statement, ast.While)
            and "itertools" not in self.script.imports.names
        ):
            line = [*statements("import itertools"), *line]
        if TRAINER in module.code and "os" not in self.script.imports.names:
            line = [*statements("import os"), *line]
        body = list(module.body)
        at = 1 if body and is_docstring(body[0]) else 0
        while at < len(body) and (is_import(body[at]) or is_command_line(body[at])):
            at += 1
        return without_trainer(module.with_changes(body=[*body[:at], *line, *body[at:]]))


def code_parts(item: Item) -> list[tuple[Scope, list[ast.AST]]]:
    """The code of an item, with the scope of its names."""
    match item:
        case Moved(scope, statement):
            return [(scope, [statement])]
        case New(scope, text):
            return [(scope, list(ast.parse(text).body))]
    return [(item.value_scope, [item.value]), (item.target_scope, [item.target])]
