"""Which files are linted: folders searched, .gitignore, links, what cannot be read."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from litify_linter import files
from litify_linter.config import Settings
from litify_linter.files import Problem, Target, discover
from litify_linter.gitignore import gitignore_at, parse


def names(*paths: Path, given_settings: Settings | None = None, force_exclude: bool = False) -> list[str]:
    root = os.path.commonpath(paths)
    found = discover(
        [str(p) for p in paths], lambda folder: given_settings or Settings(root=Path(root)), force_exclude
    )
    return [os.path.relpath(item.path, root) for item in found if isinstance(item, Target)]


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("import torch\n")
    return root


def test_python_files_in_order(tmp_path):
    tree(
        tmp_path,
        "b.py",
        "a/z.py",
        "a/b/c.py",
        "notes.txt",
        "x.pyc",
        "c.pyi",
        ".venv/lib.py",
        "__pycache__/a.py",
    )
    assert names(tmp_path) == ["a/b/c.py", "a/z.py", "b.py"]


def test_each_file_once(tmp_path):
    tree(tmp_path, "a/x.py")
    assert names(tmp_path, tmp_path / "a", tmp_path / "a" / "x.py") == ["a/x.py"]


def test_named_files_are_linted_whatever_they_are_called(tmp_path):
    tree(tmp_path, "build/x.py", "script")
    assert names(tmp_path / "build" / "x.py", tmp_path / "script") == ["build/x.py", "script"]
    assert names(tmp_path / "build" / "x.py", tmp_path / "script", force_exclude=True) == ["script"]


def test_links_to_folders_are_not_followed(tmp_path):
    tree(tmp_path, "a/x.py")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked.py").symlink_to(tmp_path / "a" / "x.py")
    assert names(tmp_path) == ["a/x.py", "linked.py"]


def test_pipes_and_folders_called_py_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    tree(tmp_path, "folder.py/x.py")
    assert names(tmp_path) == ["folder.py/x.py"]


def test_missing_paths_are_problems(tmp_path):
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    found = list(
        discover([str(tmp_path / "nothing.py"), str(tmp_path / "loop.py")], lambda folder: Settings())
    )
    assert [str(item) for item in found] == [
        f"{tmp_path}/nothing.py: No such file or directory",
        f"{tmp_path}/loop.py: Too many levels of symbolic links",
    ]


def test_folder_that_cannot_be_listed_is_a_problem_and_the_rest_goes_on(tmp_path, monkeypatch):
    tree(tmp_path, "a/x.py", "b/y.py")

    def scandir(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return os_scandir(path)

    os_scandir = os.scandir
    monkeypatch.setattr(files.os, "scandir", scandir)
    found = list(discover([str(tmp_path)], lambda folder: Settings()))
    assert found == [
        Problem(f"{tmp_path}/a", "folder cannot be listed: Permission denied"),
        Target(f"{tmp_path}/b/y.py", named=False),
    ]


class TestGitignore:
    def test_nested_and_negated(self, tmp_path):
        tree(
            tmp_path,
            "a.py",
            "gen/x.py",
            "gen/keep.py",
            "sub/gen/y.py",
            "sub/only.py",
            "data/z.py",
            "t/data/k.py",
        )
        (tmp_path / ".git").mkdir()
        (tmp_path / ".gitignore").write_text("# made\ngen/*\n!gen/keep.py\n/data/\n")
        (tmp_path / "sub" / ".gitignore").write_text("only.py\n")
        assert names(tmp_path) == ["a.py", "gen/keep.py", "sub/gen/y.py", "t/data/k.py"]
        assert names(tmp_path / "sub", given_settings=Settings()) == ["gen/y.py"]

    @pytest.mark.parametrize("pattern", ["[", "a[", "\\", "!", "/", "**", "**/", "[z-a]", "  ", "#"])
    def test_odd_patterns_are_no_crash(self, tmp_path, pattern):
        (tmp_path / ".gitignore").write_text(pattern + "\n")
        gitignore_at(tmp_path).ignores(str(tmp_path / "a.py"), False)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.text("ab*?/!.", min_size=1, max_size=6), min_size=1, max_size=3),
        st.lists(st.sampled_from(["a", "b", "ab", "a.b"]), min_size=1, max_size=3),
    )
    @example(["?**?"], ["a", "a"])
    @example(["a**/b"], ["ab", "b"])
    def test_agrees_with_git(self, tmp_path_factory, patterns, parts):
        """Git itself is asked what it ignores."""
        root = tmp_path_factory.mktemp("repo")
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        (root / ".gitignore").write_text("\n".join(patterns) + "\n")
        path = root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        command = ["git", "-C", str(root), "check-ignore", "--no-index", "-q", str(path.relative_to(root))]
        expected = subprocess.run(command).returncode == 0
        assert ignored(root, path) is expected, (patterns, parts)


def ignored(root: Path, path: Path) -> bool:
    """As the search does: an ignored folder is never entered, so that nothing in it can be taken back."""
    patterns = gitignore_at(root)
    folders = [parent for parent in reversed(path.parents) if parent != root and parent.is_relative_to(root)]
    return any(patterns.ignores(str(f), True) for f in folders) or patterns.ignores(str(path), False)


def test_comments_and_blank_lines_are_no_patterns():
    assert parse("# x") is None and parse("   ") is None
    assert parse("a b ").regex.fullmatch("x/a b")
    assert re.fullmatch(parse("*.py").regex, "x/y.py")
