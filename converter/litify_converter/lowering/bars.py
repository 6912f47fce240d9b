"""Progress bars with names of their own: the Trainer has one; what they write stays."""

from __future__ import annotations

import ast

from litify_converter.blocks import inner_blocks
from litify_converter.effects import draws_random
from litify_converter.ir import Note, Scope
from litify_converter.iterables import PROGRESS, PROGRESS_RANGE
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, emptied, opened, removed
from litify_converter.read import Script
from litify_converter.ways import Search
from litify_linter.reading.imports import dotted
from litify_linter.reading.scopes import Function, walk_scope

SHOWS = {
    "set_description", "set_description_str", "set_postfix", "set_postfix_str", "update", "close", "refresh", "reset",
    "clear", "display", "unpause",
}  # fmt: skip


class Bars(Lowering):
    """`bar = tqdm(loader)`, `with tqdm(loader) as bar:` and `for x in (bar := tqdm(loader)):`."""

    name = "progress-bars"
    words = ("tqdm", "trange")

    def find(self, script: Script) -> Lowered | None:
        search = Search(script)
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            if isinstance(scope, Function) and not search.steps_below(scope) and not _evaluates(scope):
                continue  # the Trainer does not run it, so it keeps its bar
            for name in _names(script, scope):
                found = _Bar(script, scope, name).lowered()
                if found is not None:
                    return found
        return None


def _names(script: Script, scope: Scope) -> list[str]:
    """Names of progress bars of a scope, and "" where there is one without."""
    names: list[str] = []
    for node in walk_scope(scope.body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_bar(script, value):
                names.append(name)
            case ast.NamedExpr(target=ast.Name(id=name), value=value) if _is_bar(script, value):
                names.append(name)
            case ast.With(items=[ast.withitem(context_expr=value, optional_vars=target)]) if _is_bar(
                script, value
            ):
                names.append(target.id if isinstance(target, ast.Name) else "")
            case ast.Expr(value=ast.Call(func=func)) if _is_write(script, func):
                names.append("")
    return list(dict.fromkeys(names))


def _evaluates(function: Function) -> bool:
    """Whether a function switches a model to evaluation: it may become the Trainer's evaluation loop."""
    return any(isinstance(n, ast.Attribute) and n.attr == "eval" for n in walk_scope(function.body))


def _is_bar(script: Script, value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and (script.imports.resolve(value.func) or "") in PROGRESS | PROGRESS_RANGE
    )


def _is_write(script: Script, func: ast.expr) -> bool:
    """`tqdm.write`, which prints above the bars."""
    return (
        isinstance(func, ast.Attribute)
        and func.attr == "write"
        and script.imports.resolve(func.value) in PROGRESS
    )


class _Bar:
    """All that a scope does with one name."""

    def __init__(self, script: Script, scope: Scope, name: str) -> None:
        self.script = script
        self.scope = scope
        self.name = name
        self.text = Text(script.text)
        self.edits: list[Edit] = []
        self.gone: set[ast.stmt] = set()
        self.seen: set[int] = set()  # Name nodes that are accounted for
        self.line = 1

    def lowered(self) -> Lowered | None:
        """The edits; None where the bar is used for something else too, or nothing is to be done."""
        self._block(self.scope.body, None)
        every = [n for n in ast.walk(self.script.tree) if isinstance(n, ast.Name) and n.id == self.name]
        if any(id(n) not in self.seen for n in every if self._is_ours(n)):
            return None
        self.gone |= emptied(self.scope.body, self.gone)
        self.edits += removed(self.text, self.scope.body, self.gone)
        if not self.edits:
            return None
        line = self.script.original_line(self.line) or 1
        return Lowered(self.edits, [Note("non-essential", line, "the Trainer has a progress bar of its own")])

    def _is_ours(self, node: ast.Name) -> bool:
        """Whether a name of the file may mean this bar: not where another function binds it for itself."""
        for function in [*self.script.roles.functions.values(), *self.script.roles.owner]:
            if function is not self.scope and any(n is node for n in ast.walk(function)):
                own = {
                    n.id
                    for n in walk_scope(function.body)
                    if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
                }
                own |= {a.arg for a in function.args.args}
                return self.name not in own
        return True

    def _block(self, block: list[ast.stmt], made: ast.stmt | None) -> None:
        """`made`: the statement of this block or around it that made the bar, the latest."""
        for statement in block:
            if isinstance(statement, Function | ast.ClassDef):
                continue
            match statement:
                case ast.Assign(
                    targets=[ast.Name(id=name) as target], value=value
                ) if name == self.name and _is_bar(self.script, value):
                    made = statement
                    self.gone.add(statement)
                    self.seen.add(id(target))
                    self.line = statement.lineno
                case ast.With(
                    items=[ast.withitem(context_expr=value, optional_vars=target)]
                ) if self._is_named(target) and _is_bar(self.script, value):
                    self._open(statement, target)
                    self._block(statement.body, statement)
                    continue
                case ast.Expr(value=ast.Call() as call):
                    self._call(statement, call)
            self._reads(statement, block, made)
            for inner in inner_blocks(statement):
                self._block(inner, None)

    def _is_named(self, target: ast.expr | None) -> bool:
        return (target is None and not self.name) or (isinstance(target, ast.Name) and target.id == self.name)

    def _open(self, statement: ast.With, target: ast.expr | None) -> None:
        edits = opened(self.text, statement)
        if edits is None:
            return
        self.edits += edits
        self.line = statement.lineno
        if target is not None:
            self.seen.add(id(target))

    def _call(self, statement: ast.Expr, call: ast.Call) -> None:
        """What the bar shows goes, what it writes is printed."""
        match call.func:
            case ast.Attribute(value=ast.Name(id=name) as owner, attr=attr) if name == self.name:
                if attr in SHOWS and self._only_looks(call):
                    self.gone.add(statement)
                    self.seen.add(id(owner))
                elif attr == "write":
                    self.edits.append(self.text.replace(call.func, "print"))
                    self.seen.add(id(owner))
            case func if not self.name and _is_write(self.script, func):
                self.edits.append(self.text.replace(func, "print"))
                self.line = statement.lineno

    def _only_looks(self, call: ast.Call) -> bool:
        """Whether working out what is shown does nothing else."""
        inner = [n for a in [*call.args, *(k.value for k in call.keywords)] for n in ast.walk(a)]
        return not any(
            isinstance(n, ast.NamedExpr | ast.Await | ast.Yield)
            or (isinstance(n, ast.Call) and self.script.roles.callee(n, self.scope) is not None)
            or (isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "next")
            for n in inner
        ) and not draws_random(inner, self.script, self.scope)

    def _reads(self, statement: ast.stmt, block: list[ast.stmt], made: ast.stmt | None) -> None:
        """`for x in bar`, `enumerate(bar)` and `len(bar)`: of what the bar goes over."""
        if isinstance(statement, ast.For):
            self._walrus(statement)
            for bar in self._iterated(statement.iter):
                text = self._iterable(made)
                between = block[block.index(made) + 1 : block.index(statement)] if made in block else []
                if text is not None and not draws_random(between, self.script, self.scope):
                    self.edits.append(self.text.replace(bar, text))
                    self.seen.add(id(bar))
                    self.line = statement.lineno
        for node in walk_scope(statement):
            match node:
                case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name) as read]) if (
                    name == self.name and id(read) not in self.seen
                ):
                    over = self._over(made)
                    if over is not None and dotted(over) is not None:
                        self.edits.append(self.text.replace(read, self.text.of(over)))
                        self.seen.add(id(read))

    def _walrus(self, loop: ast.For) -> None:
        for node in ast.walk(loop.iter):
            if (
                isinstance(node, ast.NamedExpr)
                and node.target.id == self.name
                and _is_bar(self.script, node.value)
            ):
                self.edits.append(self.text.replace(node, self.text.of(node.value)))
                self.seen.add(id(node.target))
                self.line = loop.lineno

    def _iterated(self, iterable: ast.expr) -> list[ast.Name]:
        match iterable:
            case ast.Name(id=name) if name == self.name and name:
                return [iterable]
            case ast.Call(func=ast.Name(id="enumerate" | "zip"), args=args):
                return [n for a in args for n in self._iterated(a)]
        return []

    def _over(self, made: ast.stmt | None) -> ast.expr | None:
        """What the bar was made around."""
        match made:
            case ast.Assign(value=ast.Call(args=[first, *_]) as call):
                pass
            case ast.With(items=[ast.withitem(context_expr=ast.Call(args=[first, *_]) as call)]):
                pass
            case _:
                return None
        return None if (self.script.imports.resolve(call.func) or "") in PROGRESS_RANGE else first

    def _iterable(self, made: ast.stmt | None) -> str | None:
        over = self._over(made)
        if over is not None:
            return self.text.of(over)
        match made:
            case ast.Assign(value=ast.Call(args=args)) | ast.With(
                items=[ast.withitem(context_expr=ast.Call(args=args))]
            ) if args:
                return f"range({', '.join(self.text.of(a) for a in args)})"
        return None
