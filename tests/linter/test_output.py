"""Every format is valid in its own terms and says the same."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litify_linter.check import check_source
from litify_linter.checked import Checked
from litify_linter.config import Settings
from litify_linter.output import FORMATS, render
from litify_linter.rule import Finding

TEXT = """\
from litify import LightningModule


class Lit(LightningModule):
    def validation_step(self, batch, batch_idx):
        größe = 3; print("größe", batch.cuda())
"""


@pytest.fixture
def checked() -> Checked:
    return check_source(TEXT.encode(), "src/my,file.py", Settings())


def text(form: str, *files: Checked, colour: bool = False) -> str:
    return "".join(render(form, files, colour))


def test_concise(checked):
    assert text("concise", checked).splitlines() == [
        "src/my,file.py:6:20: LIT601 [*] `print` in `validation_step` prints in every process; use `self.log`, or `self.print`",
        "src/my,file.py:6:35: LIT101 [*] `.cuda()` moves by hand what the Trainer puts on its device; remove it, "
        "or use `self.device` for new tensors",
    ]


def test_full_shows_the_line_with_a_caret(checked):
    shown = text("full", checked).split("\n\n")[1].splitlines()
    assert shown[1:] == [
        "  |",
        "4 | class Lit(LightningModule):",
        "5 |     def validation_step(self, batch, batch_idx):",
        '6 |         größe = 3; print("größe", batch.cuda())',
        "  |                                   ^^^^^^^^^^^^ LIT101",
    ]


def test_colour_only_when_asked(checked):
    for form in FORMATS:
        assert "\x1b" not in text(form, checked)
    coloured = text("full", checked, colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text("full", checked)
    assert "\x1b" in coloured


def test_json_has_the_fields_other_tools_read(checked):
    first, second = json.loads(text("json", checked))
    assert (first["code"], second["code"]) == ("LIT601", "LIT101")
    assert second["location"] == {"row": 6, "column": 35} and second["end_location"] == {
        "row": 6,
        "column": 47,
    }
    assert second["filename"].endswith("/src/my,file.py") and second["name"] == "device-move"


def test_github(checked):
    assert (
        text("github", checked)
        .splitlines()[1]
        .startswith(
            "::warning title=litify (LIT101),file=src/my%2Cfile.py,line=6,col=35,endLine=6,endColumn=47::src/my,file.py:6:35: LIT101 "
        )
    )


def test_gitlab(checked):
    issues = json.loads(text("gitlab", checked, checked))
    assert len({issue["fingerprint"] for issue in issues}) == 4
    assert issues[1]["location"]["positions"]["begin"] == {"line": 6, "column": 35}


def test_sarif(checked):
    log = json.loads(text("sarif", checked))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["LIT101", "LIT601"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert (
        run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "src/my%2Cfile.py"
    )


def test_sarif_fixes(checked):
    """What a fix would put where, in characters; an insertion deletes nothing."""
    run = json.loads(text("sarif", checked))["runs"][0]
    assert run["columnKind"] == "unicodeCodePoints"
    first, second = (result["fixes"][0] for result in run["results"])
    assert first["description"]["text"] == "What `litify lint --fix` does"
    (change,) = second["artifactChanges"]
    assert change["artifactLocation"] == {"uri": "src/my%2Cfile.py"}
    (replacement,) = change["replacements"]
    region = {"startLine": 6, "startColumn": 40, "endLine": 6, "endColumn": 47}
    assert replacement == {"deletedRegion": region, "insertedContent": {"text": ""}}
    bare = Checked("a.py", (Finding("LIT401", "parallel-wrapper", "message", 1, 1, 1, 2),), ("x",))
    assert "fixes" not in json.loads(text("sarif", bare))["runs"][0]["results"][0]


def test_sarif_of_a_notebook_has_no_fixes():
    cells = [{"cell_type": "code", "source": TEXT, "metadata": {}, "outputs": [], "execution_count": None}]
    notebook = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    checked = check_source(notebook.encode(), "a.ipynb", Settings())
    results = json.loads(text("sarif", checked))["runs"][0]["results"]
    assert len(results) == 2 and not any("fixes" in result for result in results)


def test_junit(checked):
    root = ElementTree.fromstring(text("junit", checked))
    assert (root.get("tests"), root.get("failures")) == ("2", "2")
    assert [case.get("name") for case in root.iter("testcase")] == ["LIT601", "LIT101"]
    assert ElementTree.fromstring(text("junit", Checked("clean.py"))).get("failures") == "0"


@pytest.mark.parametrize("form", ["json", "gitlab"])
def test_no_findings_is_an_empty_list(form):
    assert json.loads(text(form, Checked("clean.py"))) == []


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text(max_size=30), st.integers(1, 40))
def test_whatever_stands_in_names_and_lines_the_format_holds(path, message, line, column):
    finding = Finding("LIT101", "device-move", message, 1, column, 1, column + 3)
    file = Checked("src/" + path, (finding,), (line,))
    for form in ("json", "gitlab", "sarif"):
        json.loads(text(form, file))
    ElementTree.fromstring(text("junit", file).encode("utf-8"))
    assert text("github", file).count("\n") == 1
    assert not re.search(r"[\x00-\x08\x1b]", text("full", file) + text("concise", file))
