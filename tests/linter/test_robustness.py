"""Any Python goes through, and nothing slow is imported on the way."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from litify_linter.check import check_source
from litify_linter.checked import Checked
from litify_linter.config import Settings
from litify_linter.fix import fix_source
from litify_linter.output import FORMATS, render
from litify_linter.rules import all_rules

STDLIB = Path(sysconfig.get_path("stdlib"))
SEEDS = [example.bad for rule in all_rules() for example in rule.examples]
# Pieces that are likely to meet a rule where it does not expect them.
PIECES = [
    "self",
    ".",
    "x",
    "cuda()",
    ".to(",
    "device=",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "=",
    "lambda",
    "x:",
    "*",
    "**",
    "class",
    "def",
    "return",
    "yield",
    "await",
    "async",
    "for",
    "while",
    "with",
    "if",
    "else",
    "not",
    "None",
    "True",
    "False",
    "'cuda'",
    "super()",
    "training_step",
    "self.log",
    "print(",
    ".backward()",
    ".step()",
    ".append(",
    "@",
    "\n",
    "\t",
    "#",
    "noqa:",
    "LIT101",
    "LightningModule",
    "(",
    ")",
    "...",
    "->",
    ":=",
    "match",
    "case",
    "_",
    "",
]


def checked(data: bytes) -> Checked:
    """The findings, after the checks that hold for any file."""
    result = check_source(data, "x.py", Settings())
    for finding in result.findings:
        assert 1 <= finding.line <= finding.end_line
        assert finding.column >= 1 and finding.end_column >= 1
    for form in FORMATS:
        assert "".join(render(form, [result], False)) or not result.findings
    if any(finding.fix for finding in result.findings):
        fixed = fix_source(data, "x.py", Settings(), unsafe=True)
        assert not fix_source(fixed.data, "x.py", Settings(), unsafe=True).counts
        if "E901" not in {finding.code for finding in result.findings}:
            ast.parse(fixed.data)
    return result


def test_standard_library():
    files = sorted(STDLIB.glob("*.py")) + sorted(STDLIB.glob("*/*.py"))
    for path in random.Random(0).sample(files, 150):
        # Pretend that each is about training, so that every rule looks at it.
        data = path.read_bytes()
        if not data.startswith(b"#") and b"coding" not in data[:200]:
            data = b"# litify backward\n" + data
        assert {f.code for f in checked(data).findings} <= {"E901", "E902"}, path


def test_grammar_test_files():
    """CPython's own tests of its grammar hold every form a file can have."""
    for name in ("test_grammar", "test_syntax", "test_fstring", "test_patma", "test_named_expressions"):
        path = STDLIB / "test" / f"{name}.py"
        if path.exists():
            checked(b"# litify backward\n" + path.read_bytes())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_edits_of_examples(data):
    text = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 12)))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    checked(text.encode())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_edits_of_trees_stay_valid_python(data):
    """Text edits mostly end in syntax errors; subtrees that change places do not."""
    tree = ast.parse(data.draw(st.sampled_from(SEEDS)).replace("\n            ", "\n").strip())
    expressions = [n for n in ast.walk(tree) if isinstance(n, ast.expr)]
    assume(expressions)
    for _ in range(data.draw(st.integers(1, 4))):
        holder = data.draw(
            st.sampled_from(
                [n for n in ast.walk(tree) if any(isinstance(v, ast.expr) for _, v in ast.iter_fields(n))]
            )
        )
        field = data.draw(
            st.sampled_from([name for name, v in ast.iter_fields(holder) if isinstance(v, ast.expr)])
        )
        given_up, new = getattr(holder, field), data.draw(st.sampled_from(expressions))
        if not any(part is holder for part in ast.walk(new)):
            setattr(holder, field, new)
        else:
            setattr(holder, field, given_up)
    try:
        text = ast.unparse(ast.fix_missing_locations(tree))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return  # the tree is none that Python could write
    checked(text.encode())


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data):
    checked(data + b" torch")


@pytest.mark.parametrize("lines", [50_000])
def test_a_very_long_file(lines):
    text = "import torch\nfrom litify import Trainer\n" + "x = model(x).to(device).view(-1)\n" * lines
    assert checked(text.encode()).findings == ()


def test_a_very_long_chain_and_deep_blocks():
    checked(b"import litify\nx = x" + b".f()" * 900 + b"\n")
    checked(
        b"import litify\n"
        + "".join("    " * n + "if x:\n" for n in range(90)).encode()
        + b"    " * 90
        + b"y\n"
    )


@pytest.mark.parametrize("part", [".f()", ".g", "[0]", " + 1"])
@pytest.mark.parametrize("length", [100, 300, 700, 950, 3000])
def test_long_chains_where_rules_look(part, length):
    """Nothing is found, or the file is said to be too deep; nothing raises."""
    chain = f"batch{part * length}"
    text = (
        "import torch\nfrom litify import LightningModule\n\n\nclass Lit(LightningModule):\n"
        f"    def training_step(self, batch, batch_idx):\n        x = {chain}.cuda()\n        {chain}.backward()\n"
        f"        self.log('x', {chain}.item())\n        return x\n"
    )
    codes = {finding.code for finding in checked(text.encode()).findings}
    assert codes == {"E901"} or codes >= {"LIT201"}


def test_linting_imports_neither_torch_nor_libcst_nor_black():
    code = (
        "import sys\n"
        "from litify_linter.check import check_source\n"
        "from litify_linter.config import Settings\n"
        "check_source(b'import litify', 'x.py', Settings())\n"
        "print(sorted({'torch', 'libcst', 'black', 'lightning', 'litify_converter', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_alone_loads_no_rules():
    """The converter reads with these modules and must not pay for the rules."""
    code = (
        "import sys\n"
        "from litify_linter.reading import file, imports, lightning, source\n"
        "print([m for m in sys.modules if m.startswith('litify_linter.rules')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
