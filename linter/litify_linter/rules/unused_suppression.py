from __future__ import annotations

import ast
from collections.abc import Iterable

from litify_linter.reading.file import Place
from litify_linter.rule import Example, Finding, Fix, Rule

# Stands for the codes of a suppression that names none.
BLANKET = "the comment"


class UnusedSuppression(Rule):
    """A suppression comment that names a rule which finds nothing there.

    Why: The code it excused is gone or was mended; left in place, the comment will silence the next mistake on its
    line.

    Ignore when: Several versions of litify lint the file and only some of them report the code.
    """

    code, name = "LIT001", "unused-suppression"
    message = "Unused suppression: {code} finds nothing here; remove it"
    fix = "safe"
    visits = ()
    words = ()
    examples = (
        Example(
            bad="""
            import torch

            x = torch.zeros(3)  # noqa: LIT101
            """,
            good="""
            import torch

            x = torch.zeros(3)  # noqa: E501
            """,
        ),
    )

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """Nothing: it visits no node. The suppressions themselves report it, after all other rules."""
        return ()

    @classmethod
    def for_comment(cls, line: int, column: int, code: str, fix: Fix) -> Finding:
        """The finding for a code in the comment at this place."""
        return Finding(cls.code, cls.name, cls.message.format(code=code), line, column, line, column + 1, fix)
