"""What the tests of fixes share: a text in, the fixed text out."""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize

from litify_linter.config import Settings
from litify_linter.fix import fix_source

ALL = Settings()
HEAD = (
    "import torch\nfrom torch import nn, optim\nfrom litify import LightningModule, LightningDataModule\n\n\n"
)


def fixed(text: str, unsafe: bool = True) -> str:
    """The text after all fixes; it parses, and fixing it again changes nothing."""
    result = fix_source(text.encode(), "x.py", ALL, unsafe)
    ast.parse(result.data)
    again = fix_source(result.data, "x.py", ALL, unsafe)
    assert again.data == result.data and not again.counts
    return result.data.decode()


def in_class(body: str, base: str = "LightningModule") -> str:
    return HEAD + f"class Lit({base}):\n" + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"


def check_fixed(before: str, after: str, base: str = "LightningModule", unsafe: bool = True) -> None:
    assert fixed(in_class(before, base), unsafe) == in_class(after, base)


def check_unchanged(text: str, base: str = "LightningModule", unsafe: bool = True) -> None:
    check_fixed(text, text, base, unsafe)


def comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]
