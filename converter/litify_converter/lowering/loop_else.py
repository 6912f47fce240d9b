"""`for ... else:` of a loop that nothing breaks: the else branch simply follows it."""

from __future__ import annotations

import ast

from litify_converter.ir import Note
from litify_converter.lowering.base import Edit, Lowered, Lowering, Text, shifted
from litify_converter.plan import jumps
from litify_converter.read import Script


class LoopElse(Lowering):
    """The else branch of a loop without `break` always runs."""

    name = "loop-else"
    words = ("else:",)

    def find(self, script: Script) -> Lowered | None:
        text = Text(script.text)
        for loop in ast.walk(script.tree):
            if isinstance(loop, ast.For | ast.While) and loop.orelse and _trains(loop):
                if any(isinstance(j, ast.Break) for s in loop.body for j in jumps(s)):
                    continue
                first, last = loop.orelse[0].lineno, loop.end_lineno or loop.lineno
                word = first - 1
                while word > 0 and not text.lines[word - 1].strip().startswith("else"):
                    word -= 1
                moved = shifted(text, loop.orelse, word + 1, last, text.indent(loop))
                line = script.original_line(first) or 1
                note = Note("engineering", line, "the loop is never broken, so its else branch follows it")
                return Lowered([Edit((word, 0), (last + 1, 0), moved)], [note])
        return None


def _trains(loop: ast.For | ast.While) -> bool:
    return any(
        isinstance(n, ast.Attribute) and n.attr in ("backward", "step") for n in ast.walk(loop)
    ) or any(isinstance(n, ast.Name) and "train" in n.id for n in ast.walk(loop))
