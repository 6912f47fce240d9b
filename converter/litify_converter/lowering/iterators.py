"""`batches = iter(loader)`, then `for batch in batches`: the loop goes over the loader."""

from __future__ import annotations

import ast

from litify_converter.blocks import inner_blocks
from litify_converter.effects import draws_random
from litify_converter.ir import Scope
from litify_converter.lowering.base import Lowered, Lowering, Text
from litify_converter.read import Script
from litify_linter.reading.scopes import bound, walk_scope


class Iterators(Lowering):
    """`for batch in loader`, where nothing else asks the iterator and nothing is drawn before the loop."""

    name = "iterators"
    words = ("iter(",)

    def find(self, script: Script) -> Lowered | None:
        for scope in [script.tree, *script.roles.functions.values(), *script.roles.owner]:
            found = self._in_block(script, scope, scope.body)
            if found is not None:
                return found
        return None

    def _in_block(self, script: Script, scope: Scope, block: list[ast.stmt]) -> Lowered | None:
        for at, statement in enumerate(block):
            match statement:
                case ast.Assign(
                    targets=[ast.Name(id=name)],
                    value=ast.Call(func=ast.Name(id="iter"), args=[ast.Name() | ast.Attribute() as source]),
                ):
                    use = _only_use(script, scope, name, block[at + 1 :], source)
                    if use is not None:
                        text = Text(script.text)
                        return Lowered([text.remove(statement), text.replace(use, text.of(source))])
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for inner in inner_blocks(statement):
                if (found := self._in_block(script, scope, inner)) is not None:
                    return found
        return None


def _only_use(
    script: Script, scope: Scope, name: str, behind: list[ast.stmt], source: ast.expr
) -> ast.Name | None:
    """The name in the head of a loop right behind, where the scope mentions it nowhere else."""
    everywhere = [n for n in ast.walk(script.tree) if isinstance(n, ast.Name) and n.id == name]
    if len(everywhere) != 2:
        return None
    kept = {n.id for n in ast.walk(source) if isinstance(n, ast.Name)}
    for statement in behind:
        if isinstance(statement, ast.For):
            uses = [n for n in ast.walk(statement.iter) if isinstance(n, ast.Name) and n.id == name]
            return uses[0] if uses else None
        if draws_random([statement], script, scope) or bound([statement]) & kept:
            return None
        if any(isinstance(n, ast.Name) and n.id == name for n in walk_scope([statement])):
            return None
    return None
