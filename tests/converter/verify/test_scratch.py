"""A scratch copy holds what a script needs, and nothing written there reaches the originals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from litify_converter.verify import scratch as module
from litify_converter.verify.guard import _Guard
from litify_converter.verify.scratch import Scratch, mirror


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """home/{data/x.csv, project/{train.py, net/core.py, big/{a,b}.bin, .git/config, venv/}}"""
    root = tmp_path.resolve() / "home" / "project"
    for name, text in {
        "train.py": "import net",
        "net/core.py": "x = 1",
        "big/a.bin": "a" * 1000,
        "big/b.bin": "b" * 1000,
        ".git/config": "[core]",
        "venv/pyvenv.cfg": "home = /usr",
        "../data/x.csv": "1,2",
        "../data/deep/y.csv": "3,4",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).resolve().write_text(text)
    return root


def copy_of(project: Path, **paths: Path) -> Scratch:
    work = project.parents[1] / "work"
    work.mkdir()
    return mirror(
        work / "tree", paths.get("cwd", project), [paths.get("script", project / "train.py")], omit=work
    )


def test_a_small_folder_is_copied_without_what_no_script_reads(project: Path) -> None:
    copy = copy_of(project)
    assert sorted(os.listdir(copy.cwd)) == ["big", "net", "train.py"]
    assert not any(path.is_symlink() for path in copy.cwd.rglob("*"))
    assert (copy.cwd / "net/core.py").read_text() == "x = 1"


def test_neighbours_are_reached_by_relative_paths(project: Path) -> None:
    copy = copy_of(project)
    assert (copy.cwd / ".." / "data" / "x.csv").read_text() == "1,2"


def test_what_is_too_big_is_linked_and_scripts_never_are(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COPY_LIMIT", 500)
    copy = copy_of(project)
    assert (copy.cwd / "big").is_symlink()
    assert not (copy.cwd / "net").is_symlink()
    assert not (copy.cwd / "train.py").is_symlink()


def test_too_many_files_are_linked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", 1)
    copy = copy_of(project, script=project / "net/core.py")
    assert (copy.cwd / "big").is_symlink()
    assert not (copy.cwd / "net").is_symlink(), "the way to a script is made of real folders"
    assert not (copy.cwd / "net/core.py").is_symlink()


def test_script_outside_the_working_folder_is_copied_with_its_folder(project: Path) -> None:
    elsewhere = project.parents[1] / "elsewhere"
    elsewhere.mkdir()
    copy = copy_of(project, cwd=elsewhere)
    assert copy.cwd == copy.place_of(elsewhere)
    assert (copy.place_of(project) / "net/core.py").is_file()
    assert copy.original_of(str(copy.place_of(project / "train.py"))) == str(project / "train.py")


def test_links_are_kept_loops_and_dead_ones_too(project: Path) -> None:
    (project / "loop").symlink_to(".")
    (project / "dead").symlink_to("nowhere")
    (project / "inner").symlink_to("net/core.py")
    (project / "outer").symlink_to("../data/x.csv")
    copy = copy_of(project)
    assert os.readlink(copy.cwd / "loop") == "."
    assert (copy.cwd / "inner").resolve().is_relative_to(copy.tree)
    assert (copy.cwd / "outer").read_text() == "1,2"
    assert not (copy.cwd / "dead").exists()


@pytest.mark.parametrize("name", ["../data/x.csv", "../data/deep/y.csv", "big/a.bin"])
@pytest.mark.parametrize("mode", ["w", "a"])
def test_writing_through_a_link_leaves_the_original(
    project: Path, name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COPY_LIMIT", 0)
    copy = copy_of(project)
    guard = _Guard(str(copy.tree), ())
    before = (project / name).read_text()
    place = os.path.join(copy.cwd, name)
    guard.before_write(place, keep=mode == "a")
    with open(place, mode) as file:
        file.write("new")
    assert (project / name).read_text() == before
    assert Path(place).read_text() == ("new" if mode == "w" else before + "new")
    assert sorted(os.listdir(copy.cwd / "../data")) == ["deep", "x.csv"]


def test_removing_through_a_linked_folder_leaves_the_original(project: Path) -> None:
    copy = copy_of(project)
    guard = _Guard(str(copy.tree), ())
    place = os.path.join(copy.cwd, "../data/deep/y.csv")
    guard.before_change(place)
    os.remove(place)
    assert (project / "../data/deep/y.csv").exists()
    assert not os.path.exists(place)


def test_absolute_paths_into_the_users_folders_are_refused(project: Path) -> None:
    copy = copy_of(project)
    guard = _Guard(str(copy.tree), tuple(map(str, copy.protected)), (str(project / "big"),))
    with pytest.raises(PermissionError, match="scratch copy"):
        guard.before_write(str(project / "model.pt"))
    with pytest.raises(PermissionError, match="scratch copy"):
        guard.before_change(project / "train.py")
    for fine in (".cache/fonts", "net/__pycache__/core.pyc", "big/log.txt", "../data/new.csv"):
        guard.before_write(str((project / fine).resolve()))
    guard.before_write(3)  # a file descriptor has been looked at when it was opened


def test_home_and_the_temporary_folder_stay_writable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    assert copy_of(project).protected == ()
