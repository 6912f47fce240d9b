"""The import table of a file: what a name or dotted expression means outside it."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Imports:
    """Maps local names to the fully qualified names they were imported as.

    Imports anywhere in the file count (inside functions, under `try`), since a role does not depend on when an
    import runs. A name bound twice keeps its last meaning, as at run time.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.names: dict[str, str] = {}
        for node in _statements(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    # `import a.b` binds `a`; `import a.b as c` binds `c` to `a.b`.
                    self.names[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    if alias.name != "*":
                        self.names[alias.asname or alias.name] = f"{module}.{alias.name}"

    def resolve(self, node: ast.expr) -> str | None:
        """The qualified dotted name of an expression, or None where it is not an imported name.

        `optim.Adam` is "torch.optim.Adam" after `from torch import optim`.
        """
        text = dotted(node)
        if text is None:
            return None
        head, _, rest = text.partition(".")
        if head not in self.names:
            return None
        return f"{self.names[head]}.{rest}" if rest else self.names[head]


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Every statement, outer ones before inner ones. Imports are statements: expressions need not be walked."""
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        for field in _BLOCKS:
            for child in getattr(node, field, ()):
                # Handlers and cases hold blocks, the body of a lambda or a conditional expression is none.
                if isinstance(child, ast.stmt):
                    yield child
                waiting.append(child)


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` for a chain of attributes on a name, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    parts.append(node.id)
    return ".".join(reversed(parts))
