"""What a lint rule is: one class that holds its code, its words, its examples and its check."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from litify_linter.edits import Edits
    from litify_linter.reading.file import Place


@dataclass(frozen=True, slots=True)
class Edit:
    """A span of a file and the text to put there. Lines and columns count from 1, columns in characters."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that take a finding away; they do not overlap. An unsafe fix may change what the program computes."""

    edits: tuple[Edit, ...]
    safe: bool
    block: tuple[int, int] | None = (
        None  # first line and column of a block of which only one statement may go at once
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One complaint about one span of a file. Lines and columns count from 1, columns in characters."""

    code: str
    name: str
    message: str
    line: int
    column: int
    end_line: int
    end_column: int
    fix: Fix | None = None
    cell: int | None = None  # in a notebook, the number of the cell, and lines count from its first one

    @property
    def order(self) -> tuple[int, int, int, str, str]:
        """Position first, then code: the order in which findings are printed."""
        return (self.cell or 0, self.line, self.column, self.code, self.message)


@dataclass(frozen=True, slots=True)
class Example:
    """Two small complete files: `bad` gets at least one finding of the rule, `good` no finding of any rule."""

    bad: str
    good: str


def _shortened(text: str, width: int = 100) -> str:
    """A piece of the user's code, fit for a message of one line."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


class Rule:
    """One thing to find. A rule keeps no state: one instance checks all files.

    The class docstring is its documentation, in three paragraphs: what it finds, "Why:", and "Ignore when:".
    `visits` names the node types it wants to see. With `hooks`, it sees only what stands in methods of these names of
    a class of one of `kinds`; with `follow_calls`, also what stands in methods that only these call. Without `hooks` it
    sees everything, if `lightning_only` only in files that define Lightning classes or build a Trainer. A file that contains
    none of `words` is not even walked for it. `fix` says whether the rule has fixes, and whether they are "safe" (the
    program computes what it did) or "unsafe" (it may compute something else, as it should have); single findings may
    have none.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    message: ClassVar[str]  # a template, filled by `found`
    visits: ClassVar[tuple[type[ast.AST], ...]]
    hooks: ClassVar[frozenset[str] | None] = None
    kinds: ClassVar[frozenset[str]] = frozenset({"LightningModule"})
    follow_calls: ClassVar[bool] = False
    lightning_only: ClassVar[bool] = True
    words: ClassVar[tuple[str, ...]] = ("lightning", "litify")
    fix: ClassVar[Literal["safe", "unsafe"] | None] = None
    severity: ClassVar[Literal["error", "warning"]] = "warning"
    examples: ClassVar[tuple[Example, ...]]

    def check(self, node: ast.AST, here: Place) -> Iterable[Finding]:
        """Findings for one node, which is of a type in `visits`."""
        raise NotImplementedError

    @classmethod
    def wants(cls, text: str) -> bool:
        """Whether a file that contains one of `words` may have something to find; asked before it is walked."""
        return True

    def sees(self, here: Place) -> bool:
        """Whether a rule with `hooks` wants to see the nodes of this place."""
        if (
            self.hooks is None
            or here.hook is None
            or here.lightning is None
            or here.lightning.kind not in self.kinds
        ):
            return False
        if here.hook in self.hooks:
            return True
        if not self.follow_calls:
            return False
        callers = here.lightning.reached_from.get(here.hook)
        return callers is not None and callers <= self.hooks

    def found(self, node: ast.AST, here: Place, edits: Edits | None = None, **words: object) -> Finding:
        """A finding that spans `node`, or the name where `node` is a class or a function; `edits` would fix it."""
        shown = {key: _shortened(str(value)) for key, value in words.items()}
        fix = Fix(edits.edits, self.fix == "safe", edits.block) if edits is not None else None
        return Finding(self.code, self.name, self.message.format(**shown), *here.file.span(node), fix)

    @classmethod
    def documentation(cls) -> tuple[str, str, str]:
        """What it finds, why that matters, when to ignore it: the paragraphs of the docstring, each on one line."""
        paragraphs = [" ".join(p.split()) for p in inspect.cleandoc(cls.__doc__ or "").split("\n\n")]
        what, why, ignore = paragraphs
        return what, why.removeprefix("Why: "), ignore.removeprefix("Ignore when: ")
