"""The README tells the truth: its before/after is what convert does, and its commands are there to paste."""

import re
from pathlib import Path

from litify_converter.convert import convert

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_before_becomes_after(tmp_path: Path) -> None:
    script = tmp_path / "digits.py"
    script.write_text(block("before"))
    assert convert(script).text == block("after")


def test_exactly_two_commands_to_paste() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert "litify convert fixtures/digits/train.py" in commands[0]
    assert commands[1].endswith("pytest -n 2")


def test_links_lead_somewhere() -> None:
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target
