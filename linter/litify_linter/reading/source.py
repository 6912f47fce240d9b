"""Bytes of a file -> text and syntax tree, or the reason why not."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import warnings
from dataclasses import dataclass, field

# Lines as Python counts them: form feeds and Unicode separators, at which str.splitlines splits, are none.
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_TYPE_PARAMETERS = r"\s*(?:(?:class|(?:async\s+)?def)\s+\w+\s*\[|type\s+\w+\s*(?:\[.*\]\s*)?=)"
_PYTHON2_MESSAGES = ("Missing parentheses in call to", "multiple exception types must be parenthesized")
_PYTHON2 = re.compile(
    r"""^\s*(?:print\s+["'\w%(]|print\s*>>|exec\s+["'\w]|raise\s+\w+\s*,|except\s+[\w.()\s,]+?,\s*\w+\s*:)"""
    r"""|<>|\bur["']|\b0\d+\b|\b\d+[lL]\b|`[^`]+`""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: its text, its lines (without line ends) and its tree."""

    text: str
    tree: ast.Module
    lines: list[str] = field(repr=False)


class UnreadableSource(ValueError):
    """The bytes are no Python that this interpreter can parse; says where and why in one line.

    Attributes:
        code: "E901" for a syntax error (Python 2 included), "E902" where not even text could be had.
        line, column: place of the error, from 1.
        message: the reason, without the place.
    """

    def __init__(self, code: str, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.line, self.column = max(line, 1), max(column, 1)


def read_source(data: bytes) -> Source:
    """Decode and parse a file's bytes. Raises UnreadableSource."""
    text = decode(data)
    return Source(text, parse(text), split_lines(text))


def split_lines(text: str) -> list[str]:
    """The lines of a text as Python counts them, without their ends."""
    return _LINE_BREAK.split(text)


def decode(data: bytes) -> str:
    """The text of a Python file: by byte order mark, by coding line (PEP 263), else UTF-8. Raises UnreadableSource."""
    if b"\0" in data:
        raise UnreadableSource("E902", "binary file: it contains null bytes")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _undecodable(data, error) from None
    except (
        SyntaxError
    ) as error:  # detect_encoding: an unknown encoding, or bytes in the first lines that are no UTF-8
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as cause:
            raise _undecodable(data, cause) from None
        raise UnreadableSource("E902", f"cannot be decoded: {error.msg}") from None


def _undecodable(data: bytes, error: UnicodeDecodeError) -> UnreadableSource:
    line = data.count(b"\n", 0, error.start) + 1
    reason = f"byte 0x{data[error.start]:02x} is not valid {error.encoding}"
    return UnreadableSource("E902", f"cannot be decoded: {reason}; add a coding line", line)


def parse(text: str) -> ast.Module:
    """The syntax tree of a text. Raises UnreadableSource, naming Python 2 where that is what it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like are other linters' business
            return ast.parse(text)
    except SyntaxError as error:
        message = error.msg
        if message.startswith(_PYTHON2_MESSAGES) or _looks_like_python2(text, error):
            message = f"Python 2 code ({message}); translate it first, for example with 2to3 or modernize"
        elif (newer := _newer_python(text, error)) is not None:
            here = ".".join(map(str, sys.version_info[:2]))
            message = (
                f"Python {newer} code, which Python {here} cannot parse; run litify under Python {newer}"
            )
        else:
            message = f"syntax error: {message}"
        raise UnreadableSource("E901", message, error.lineno or 1, error.offset or 1) from None
    except (RecursionError, MemoryError):
        raise UnreadableSource("E901", "nested too deeply for Python's parser") from None
    except ValueError as error:  # before 3.12 a lone surrogate or null byte is no SyntaxError
        raise UnreadableSource("E902", f"cannot be parsed: {error}") from None


def confirm(text: str) -> None:
    """Raises UnreadableSource where `parse` would; takes half as long, as no tree is made of Python objects."""
    import symtable  # a run from the cache confirms nothing

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            symtable.symtable(text, "<text>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        parse(text)  # says what it is, or that it is none: names are looked into here, which `parse` does not


def _newer_python(text: str, error: SyntaxError) -> str | None:
    """The version whose syntax stands at the error, where this interpreter is older: type parameters, `type` statements."""
    lines = _LINE_BREAK.split(text)
    line = (error.lineno or 1) - 1
    if sys.version_info < (3, 12) and line < len(lines) and re.match(_TYPE_PARAMETERS, lines[line]):
        return "3.12"
    return None


def _looks_like_python2(text: str, error: SyntaxError) -> bool:
    line = (error.lineno or 1) - 1
    lines = _LINE_BREAK.split(text)
    return line < len(lines) and _PYTHON2.search(lines[line]) is not None
