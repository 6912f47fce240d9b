"""A function that is defined again under its name: each call means the definition before it."""

from __future__ import annotations

import ast
import re

from litify_converter.lowering.base import Edit, Lowered, Lowering, Text
from litify_converter.read import Script
from litify_converter.refusals import SharedName
from litify_converter.ways import Search
from litify_linter.reading.scopes import Function, bound, read


class Redefined(Lowering):
    """Later definitions of a function get names of their own, in scripts that train: `loss_fn`, then `loss_fn_2`."""

    name = "redefined"
    words = ("def ",)

    def find(self, script: Script) -> Lowered | None:
        every: dict[str, list[Function]] = {}
        for statement in script.tree.body:
            if isinstance(statement, Function):
                every.setdefault(statement.name, []).append(statement)
        again = {name: found for name, found in every.items() if len(found) > 1}
        search = Search(script)
        if not again or not search.ways():
            return None
        for name, found in again.items():
            trains = any(search.steps_below(f) for f in found)
            lowered = self._renamed(script, name, found, trains)
            if lowered is not None:
                return lowered
        return None

    def _renamed(self, script: Script, name: str, found: list[Function], trains: bool) -> Lowered | None:
        """The second definition, and what follows it up to the third, under another name."""
        body = script.tree.body
        for other in body:
            if isinstance(other, Function | ast.ClassDef) and other not in found and name in read(other):
                if not trains:
                    return None
                raise SharedName(f"{name}() is defined more than once, and read by {other.name}", found[1])
        start = body.index(found[1])
        end = body.index(found[2]) if len(found) > 2 else len(body)
        taken = bound(body) | read(body)
        new = next(f"{name}_{n}" for n in range(2, 100) if f"{name}_{n}" not in taken)
        text = Text(script.text)
        line = text.lines[found[1].lineno - 1]
        head = re.sub(rf"\b{name}\b", new, line, count=1)
        edits = [Edit((found[1].lineno, 0), (found[1].lineno + 1, 0), head)]
        for statement in body[start:end]:
            if any(name in bound(s) for s in [statement] if s is not found[1]):
                return None
            edits += [
                text.replace(n, new)
                for n in ast.walk(statement)
                if isinstance(n, ast.Name) and n.id == name and n.lineno != found[1].lineno
            ]
        return Lowered(edits)
