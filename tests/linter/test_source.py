"""Bytes -> text -> tree, and the one clear reason where that fails."""

from __future__ import annotations

import pytest

from litify_linter.check import check_source
from litify_linter.config import Settings
from litify_linter.reading.source import UnreadableSource, read_source


def error(data: bytes) -> UnreadableSource:
    with pytest.raises(UnreadableSource) as caught:
        read_source(data)
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbfx = 1\n",
        "x = 'é'\n".encode(),
        "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"),
        b"x = 1\r\ny = 2\r\n",
        b"x = 1\ry = 2\r",
        b"x = '\\d'\n",
    ],
)
def test_readable(data):
    assert read_source(data).tree is not None


def test_lines_are_pythons_lines():
    """A form feed or a Unicode line separator ends no line; findings would be reported in the wrong place."""
    source = read_source("x = 1\n\x0cy = '\u2028'\r\nz = 3".encode())
    assert len(source.lines) == 3
    assert source.tree.body[2].lineno == 3


def test_syntax_error_has_its_place():
    found = error(b"import torch\n\nx = (1,\n")
    assert found.code == "E901"
    assert (found.line, found.column) == (3, 5)
    assert found.message == "syntax error: '(' was never closed"


@pytest.mark.parametrize(
    "text",
    [
        "print 'loss', loss",
        'print "%d" % 3',
        "print loss",
        "try:\n    pass\nexcept IOError, e:\n    pass",
        "raise ValueError, 'no'",
        "x = 0777",
        "x = 10L",
        "exec 'x = 1'",
        "if 1 <> 2: pass",
        "x = ur'text'",
        "x = `3`",
    ],
)
def test_python_2_is_named(text):
    found = error(text.encode())
    assert found.code == "E901"
    assert found.message.startswith("Python 2 code") and "2to3" in found.message


@pytest.mark.parametrize("text", ["x = = 3", "def f(:", "for in x", "x = 3 +", "%matplotlib inline", "!ls"])
def test_other_errors_are_not_python_2(text):
    assert error(text.encode()).message.startswith("syntax error: ")


def test_binary():
    found = error(b"\x7fELF\x02\x01\x00\x00torch")
    assert (found.code, found.message) == ("E902", "binary file: it contains null bytes")


def test_wrong_encoding_says_where():
    found = error(b"x = 1\ny = '\xe9'\n")
    assert (found.code, found.line) == ("E902", 2)
    assert "byte 0xe9 is not valid utf-8" in found.message


@pytest.mark.parametrize("line", [b"# coding: nonsense\n", b"\xef\xbb\xbf# coding: latin-1\n"])
def test_coding_lines_that_make_no_sense(line):
    assert error(line).code == "E902"


def test_deep_nesting_is_no_crash():
    assert error(b"(" * 5000 + b")" * 5000).code == "E901"
    deep = b"x = " + b"-" * 3000 + b"1\n"
    try:
        read_source(deep)
    except UnreadableSource as caught:
        assert caught.message == "nested too deeply for Python's parser"


def test_errors_become_findings_with_a_place():
    checked = check_source(b"import torch\nx = (\n", "x.py", Settings())
    assert [(f.code, f.line) for f in checked.findings] == [("E901", 2)]


def test_a_file_that_does_not_speak_of_torch_is_not_parsed():
    """Unless it was named on the command line."""
    assert check_source(b"x = (", "x.py", Settings(), named=False).findings == ()
    assert check_source(b"import torch\nx = (", "x.py", Settings(), named=False).findings != ()
