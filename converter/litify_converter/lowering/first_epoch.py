"""`if epoch > 0: train()`: the first round of the epoch loop only looks at the untrained network."""

from __future__ import annotations

import ast

from litify_converter.blocks import own_calls, statements_of
from litify_converter.ir import Note, Scope
from litify_converter.lowering.base import (
    Edit,
    Lowered,
    Lowering,
    Text,
    apply,
    header_end,
    inside_strings,
    opened,
)
from litify_converter.plan import jumps
from litify_converter.read import Script
from litify_converter.ways import Search, is_step
from litify_linter.reading.scopes import Function, read, walk_scope


class FirstEpoch(Lowering):
    """The first round, which does not train, is written out before the loop."""

    name = "first-epoch"
    words = ("epoch > 0", "epoch != 0", "epoch >= 1", "> 0:", "!= 0:", ">= 1:", "if epoch:")

    def find(self, script: Script) -> Lowered | None:
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            for statement in statements_of(scope.body):
                if isinstance(statement, ast.For) and not statement.orelse:
                    found = self._peeled(script, scope, statement)
                    if found is not None:
                        return found
        return None

    def _peeled(self, script: Script, scope: Scope, loop: ast.For) -> Lowered | None:
        match loop:
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args)):
                pass
            case _:
                return None
        guard = next((s for s in loop.body if isinstance(s, ast.If) and _skips_first(s, name)), None)
        first = args[0] if len(args) == 2 else ast.Constant(0)
        counts = len(args) in (1, 2) and isinstance(first, ast.Constant) and first.value == 0
        if guard is None or not counts or not _trains(script, guard, scope):
            return None
        if any(jumps(s) for s in loop.body) or any(isinstance(n, ast.Return) for n in walk_scope(loop.body)):
            return None
        text = Text(script.text)
        edits = opened(text, guard)
        if edits is None or loop.body[0].lineno == loop.lineno or inside_strings(loop):
            return None
        edits.append(Edit((loop.lineno, 0), (loop.lineno, 0), _first_round(text, loop, guard, name)))
        edits.append(text.replace(loop.iter, f"range(1, {text.of(args[-1])})"))
        line = script.original_line(guard.lineno) or 1
        return Lowered(
            edits, [Note("look", line, "the round before training stands before the Trainer, once")]
        )


def _skips_first(statement: ast.If, name: str) -> bool:
    """`if epoch > 0:` and its other spellings."""
    if statement.orelse:
        return False
    match statement.test:
        case ast.Name(id=test):
            return test == name
        case ast.Compare(left=ast.Name(id=left), ops=[op], comparators=[ast.Constant(value=int(number))]):
            return left == name and (type(op), number) in ((ast.Gt, 0), (ast.NotEq, 0), (ast.GtE, 1))
    return False


def _trains(script: Script, statement: ast.If, scope: Scope) -> bool:
    """Whether a statement reaches an optimizer step."""
    search = Search(script)
    for inner in [statement, *statements_of(statement.body)]:
        for call in own_calls(inner):
            if is_step(call, script, scope):
                return True
            function = script.roles.callee(call, scope)
            if isinstance(function, Function) and search.steps_below(function):
                return True
    return False


def _first_round(text: Text, loop: ast.For, guard: ast.If, name: str) -> str:
    """The loop's body without what is guarded, for epoch 0."""
    rest = [s for s in loop.body if s is not guard]
    header = header_end(text, loop.body, loop.iter.end_lineno or loop.lineno)
    without = apply(
        text.source(header + 1, loop.end_lineno or header),
        range(1, (loop.end_lineno or header) + 1),
        [Edit((guard.lineno - header, 0), ((guard.end_lineno or guard.lineno) - header + 1, 0), "")],
    )[0]
    inner, outer = text.indent(loop.body[0]), text.indent(loop)
    moved = "".join(
        outer + line[len(inner) :] if line.startswith(inner) else line
        for line in without.splitlines(keepends=True)
    )
    return (f"{text.indent(loop)}{name} = 0\n" if name in read(rest) else "") + moved
