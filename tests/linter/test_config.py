"""[tool.litify.lint]: what the keys do, which word wins, and that a slip is an error with a place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from litify_linter.config import (
    ERROR_CODES,
    ConfigError,
    Overrides,
    Settings,
    choose,
    default_codes,
    matching_codes,
    read_settings,
    settings_lookup,
)


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.litify.lint]\n{text}\n")
    return read_settings(path)


def test_nothing_said_is_everything(tmp_path):
    assert settings(tmp_path, "").codes == default_codes()


def test_select_and_ignore(tmp_path):
    assert settings(tmp_path, 'select = ["LIT101", "mode-switch"]').codes == ERROR_CODES | {
        "LIT101",
        "LIT301",
    }
    assert settings(tmp_path, 'ignore = ["LIT101"]').codes == default_codes() - {"LIT101"}
    assert settings(tmp_path, 'select = ["LIT1"]\nextend-select = ["LIT901"]\nignore = ["LIT102"]').codes >= {
        "LIT101",
        "LIT901",
    }


@pytest.mark.parametrize(
    ("select", "ignore", "runs"),
    [
        (["LIT1"], ["LIT101"], False),
        (["LIT101"], ["LIT1"], True),
        (["device-move"], ["LIT1"], True),
        (["ALL"], ["LIT1"], False),
        (["LIT101"], ["LIT101"], False),
    ],
)
def test_the_more_specific_word_wins(select, ignore, runs):
    assert ("LIT101" in choose(frozenset(), select, ignore, "here")) is runs


def test_command_line_comes_on_top(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.litify.lint]\nignore = ["LIT101"]\n')
    assert "LIT101" not in settings_lookup()(tmp_path).codes
    assert "LIT101" in settings_lookup(Overrides(extend_select=("LIT101",)))(tmp_path).codes
    assert settings_lookup(Overrides(select=("LIT901",)))(tmp_path).codes == ERROR_CODES | {"LIT901"}
    assert settings_lookup(isolated=True)(tmp_path).codes == default_codes()


def test_nearest_pyproject_with_our_table_counts(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.litify.lint]\nselect = ["LIT901"]\n')
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.black]\nline-length = 100\n")
    lookup = settings_lookup()
    assert lookup(inner).codes == ERROR_CODES | {"LIT901"}
    assert lookup(inner).root == tmp_path


def test_per_file_ignores(tmp_path):
    found = settings(
        tmp_path, '[tool.litify.lint.per-file-ignores]\n"tests/*" = ["LIT9"]\n"conf.py" = ["ALL"]'
    )
    assert "LIT901" not in found.codes_for(str(tmp_path / "tests" / "deep" / "x.py"))
    assert "LIT101" in found.codes_for(str(tmp_path / "tests" / "x.py"))
    assert found.codes_for(str(tmp_path / "docs" / "conf.py")) == ERROR_CODES
    assert found.codes_for(str(tmp_path / "train.py")) == default_codes()


def test_exclude(tmp_path):
    found = settings(tmp_path, 'extend-exclude = ["old/*.py", "gen_*"]')
    for path, excluded in [
        ("old/x.py", True),
        ("new/old/x.py", False),
        ("new/gen_x.py", True),
        ("new/.venv", True),
        ("new/x.py", False),
    ]:
        assert found.excludes(os.path.join(tmp_path, path)) is excluded, path
    assert found.excludes_within(os.path.join(tmp_path, "build", "lib", "x.py"))
    assert not found.excludes_within("/elsewhere/build/x.py") or str(tmp_path).startswith("/elsewhere")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('selct = ["LIT1"]', ["unknown key 'selct'", "did you mean select?"]),
        ("select = 'LIT1'", ["select in [tool.litify.lint] must be a list of strings"]),
        ("select = [1]", ["must be a list of strings"]),
        ('select = ["LIT777"]', ["unknown rule 'LIT777' in", "did you mean LIT"]),
        ('ignore = ["divice-move"]', ["unknown rule 'divice-move'", "did you mean device-move?"]),
        ('select = [""]', ["unknown rule ''"]),
        ("per-file-ignores = 3", ["per-file-ignores must be a table"]),
        ("per-file-ignores = {'x' = 'LIT1'}", ["must be a list of strings"]),
        ("x = [", ["not valid TOML"]),
    ],
)
def test_slips_are_errors_that_name_the_file(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    message = str(caught.value)
    assert str(tmp_path / "pyproject.toml") in message and "\n" not in message
    for word in words:
        assert word in message


def test_selectors():
    assert matching_codes("LIT10") >= {"LIT101", "LIT102"}
    assert matching_codes("lit101") == matching_codes("Device-Move") == {"LIT101"}
    assert matching_codes("E9") == ERROR_CODES
