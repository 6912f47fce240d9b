"""Many files at once: several processes and the cache change how long it takes, never what is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from litify_linter import cache as cache_module
from litify_linter import check as check_module
from litify_linter.cache import Cache
from litify_linter.checked import Checked
from litify_linter.config import Settings
from litify_linter.run import check_paths

DIRTY = """\
from litify import LightningModule


class Lit(LightningModule):
    def validation_step(self, batch, batch_idx):
        print({}, batch.cuda())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(90):
        (tmp_path / f"f{number:02}.py").write_text(
            DIRTY.format(number) if number % 3 == 0 else "import torch\n"
        )
    (tmp_path / "bad.py").write_text("import torch\nx = (\n")
    (tmp_path / "other.py").write_text("print('nothing about it')\n")
    return tmp_path


def check(
    folder: Path, cache: Cache | None = None, jobs: int = 1, settings: Settings | None = None
) -> list[Checked]:
    here = settings or Settings()
    result = check_paths([str(folder)], lambda _: here, cache=cache, jobs=jobs)
    assert not result.problems
    return result.checked


def test_several_processes_find_the_same_in_the_same_order(folder):
    alone = check(folder)
    assert sum(len(file.findings) for file in alone) == 61
    assert check(folder, jobs=3) == alone


def test_a_file_that_cannot_be_read_in_another_process(folder, monkeypatch):
    (folder / "f01.py").unlink()
    (folder / "f01.py").symlink_to(folder / "gone.py")
    result = check_paths([str(folder), str(folder / "f02.py")], lambda _: Settings(), jobs=2)
    assert len(result.checked) == 91 and not result.problems


class TestCache:
    def test_nothing_is_parsed_twice(self, folder, tmp_path, monkeypatch):
        first = check(folder, Cache(tmp_path / "cache"))

        def parsed(*arguments: object) -> None:
            raise AssertionError("a file was checked again")

        monkeypatch.setattr(check_module, "check_source", parsed)
        assert check(folder, Cache(tmp_path / "cache")) == first

    def test_from_several_processes(self, folder, tmp_path, monkeypatch):
        first = check(folder, Cache(tmp_path / "cache"), jobs=2)
        monkeypatch.setattr(check_module, "check_source", None)
        assert check(folder, Cache(tmp_path / "cache"), jobs=2) == first

    def test_content_decides(self, folder, tmp_path):
        check(folder, Cache(tmp_path / "cache"))
        before = (folder / "f00.py").stat()
        (folder / "f00.py").write_text(DIRTY.format("7").replace("print", "self.p"))
        import os

        os.utime(folder / "f00.py", ns=(before.st_atime_ns, before.st_mtime_ns))
        found = {f.path: f.findings for f in check(folder, Cache(tmp_path / "cache"))}
        assert [f.code for f in found[str(folder / "f00.py")]] == ["LIT101"]

    def test_the_rules_asked_for_decide(self, folder, tmp_path):
        check(folder, Cache(tmp_path / "cache"))
        only = Settings(codes=frozenset({"LIT101"}))
        found = check(folder, Cache(tmp_path / "cache"), settings=only)
        assert {f.code for file in found for f in file.findings} == {"LIT101"}

    def test_the_linter_itself_decides(self, folder, tmp_path, monkeypatch):
        check(folder, Cache(tmp_path / "cache"))
        monkeypatch.setattr(cache_module, "_fingerprint", lambda: "another")
        assert Cache(tmp_path / "cache")._known == {}
        check(folder, Cache(tmp_path / "cache"))
        assert [p.name for p in (tmp_path / "cache").glob("*.json")] == ["another.json"]

    @pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe"])
    def test_a_damaged_cache_is_made_anew(self, folder, tmp_path, data):
        first = check(folder, Cache(tmp_path / "cache"))
        (path,) = (tmp_path / "cache").glob("*.json")
        path.write_bytes(data)
        assert check(folder, Cache(tmp_path / "cache")) == first
        assert path.stat().st_size > 100

    def test_a_folder_that_cannot_be_written(self, folder, tmp_path):
        (tmp_path / "file").write_text("")
        assert check(folder, Cache(tmp_path / "file" / "cache")) == check(folder)

    def test_git_does_not_see_it(self, folder, tmp_path):
        check(folder, Cache(tmp_path / "cache"))
        assert (tmp_path / "cache" / ".gitignore").read_text() == "*\n"
