"""Promises 1 to 3: what convert writes for whole scripts and for single idioms, compared with what was reviewed.

`fixtures/NAME/train.py` has its conversion beside it as `train_lit.py`; `cases/NAME.py` holds script and conversion in
one file, under a line `# output`. `pytest tests/converter/test_golden.py --rewrite-golden` writes them anew.
"""

import ast
from pathlib import Path

import pytest

from litify_converter.convert import convert, convert_script
from litify_converter.read import parse
from litify_converter.refusals import AlreadyConverted, Refusal
from litify_linter import lint_text

ROOT = Path(__file__).parents[2]
FIXTURES = sorted(p.parent for p in ROOT.glob("fixtures/*/train.py"))
CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
REFUSED = {"no_training": "LC101"}


@pytest.mark.parametrize("folder", FIXTURES, ids=lambda p: p.name)
def test_fixture_converts_to_its_golden_file(folder: Path, request: pytest.FixtureRequest) -> None:
    golden = folder / "train_lit.py"
    if not golden.exists() and not request.config.getoption("--rewrite-golden"):
        with pytest.raises(Refusal) as refusal:
            convert(folder / "train.py")
        assert refusal.value.code == REFUSED.get(folder.name, refusal.value.code)
        assert str(refusal.value)
        return
    try:
        text = convert(folder / "train.py").text
    except Refusal:
        golden.unlink(missing_ok=True)
        return
    if request.config.getoption("--rewrite-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_case(case: Path, request: pytest.FixtureRequest) -> None:
    source, _, expected = case.read_text().partition("# output\n")
    text = convert_script(parse(source, Path(f"{case.stem}.py"))).text
    if request.config.getoption("--rewrite-golden"):
        case.write_text(f"{source}# output\n{text}")
        return
    assert text == expected
    assert [f"{f.line} {f.code} {f.message}" for f in lint_text(text, "train_lit.py")] == []


@pytest.mark.parametrize(
    "folder", [f for f in FIXTURES if (f / "train_lit.py").exists()], ids=lambda p: p.name
)
def test_golden_file_is_clean_and_converts_to_itself(folder: Path) -> None:
    """Promise 2: research code only where it belongs. A second run finds nothing to convert."""
    golden = folder / "train_lit.py"
    text = golden.read_text()
    ast.parse(text)
    assert [f"{f.code} {f.message}" for f in lint_text(text, str(golden))] == []
    with pytest.raises(AlreadyConverted):
        convert(golden)


@pytest.mark.parametrize("folder", FIXTURES, ids=lambda p: p.name)
def test_raw_fixture_is_not_clean(folder: Path) -> None:
    if folder.name in REFUSED:
        return
    assert lint_text((folder / "train.py").read_text(), "train.py")


@pytest.mark.parametrize(
    "folder", [f for f in FIXTURES if (f / "train_lit.py").exists()], ids=lambda p: p.name
)
def test_lightning_target_differs_in_one_line(folder: Path) -> None:
    """Promise 5: the same file trains under lightning when its import line names that package."""
    ours = convert(folder / "train.py").text.splitlines()
    theirs = convert(folder / "train.py", target="lightning").text.splitlines()
    different = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    assert [a.replace("from litify import", "from lightning import") for a, _ in different] == [
        b for _, b in different
    ]
    assert len(different) == 1
