"""Base classes from the files beside: found, followed, and part of what a cached answer depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from litify_linter.cache import Cache
from litify_linter.check import check_file
from litify_linter.config import Settings
from litify_linter.run import check_paths

BASE = """\
from litify import LightningModule


class Base(LightningModule):
    pass


class Manual(Base):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
"""
USER = """\
import torch
{imports}


class Lit({base}):
    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        loss.backward()
        return loss
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def codes(path: Path) -> list[str]:
    return [finding.code for finding in check_file(str(path), Settings()).findings]


@pytest.mark.parametrize(
    ("place", "imports", "base"),
    [
        ("base.py", "from base import Base", "Base"),
        ("base.py", "from base import Base as B", "B"),
        ("base.py", "import base", "base.Base"),
        ("base.py", "from .base import Base", "Base"),
        ("base.py", "from . import base", "base.Base"),
        ("parts/base.py", "from parts.base import Base", "Base"),
        ("parts/base.py", "from .parts.base import Base", "Base"),
        ("parts/__init__.py", "from parts import Base", "Base"),
    ],
)
def test_ways_to_import(tmp_path, place, imports, base):
    write(tmp_path, {place: BASE, "user.py": USER.format(imports=imports, base=base)})
    assert codes(tmp_path / "user.py") == ["LIT201"]


def test_within_a_package(tmp_path):
    user = USER.format(imports="from project.models.base import Base", base="Base")
    above = USER.format(imports="from ..models.base import Base", base="Base")
    write(
        tmp_path, {"project/models/base.py": BASE, "project/lit/user.py": user, "project/lit/above.py": above}
    )
    write(
        tmp_path,
        dict.fromkeys(("project/__init__.py", "project/models/__init__.py", "project/lit/__init__.py"), ""),
    )
    assert codes(tmp_path / "project/lit/user.py") == ["LIT201"]
    assert codes(tmp_path / "project/lit/above.py") == ["LIT201"]


def test_handed_on(tmp_path):
    middle = "from deep.base import Base\n\n\nclass Middle(Base):\n    pass\n"
    write(
        tmp_path, {"deep/__init__.py": "from .base import Base\n", "deep/base.py": BASE, "middle.py": middle}
    )
    write(tmp_path, {"user.py": USER.format(imports="from middle import Middle", base="Middle")})
    write(tmp_path, {"other.py": USER.format(imports="from deep import Base", base="Base")})
    assert codes(tmp_path / "user.py") == ["LIT201"]
    assert codes(tmp_path / "other.py") == ["LIT201"]


def test_what_the_base_says_counts(tmp_path):
    write(
        tmp_path, {"base.py": BASE, "user.py": USER.format(imports="from base import Manual", base="Manual")}
    )
    assert codes(tmp_path / "user.py") == ["LIT204"]


@pytest.mark.parametrize(
    "base",
    [
        "class Base:\n    pass\n",
        "import torch\n\n\nclass Base(torch.nn.Module):\n    pass\n",
        "from user import Lit\n\n\nclass Base(Lit):\n    pass\n",
        "from base import Base\n",
        "class Base(\n",
        "print 'x'\n",
        "\0",
    ],
)
def test_near_misses_circles_and_files_that_are_no_python(tmp_path, base):
    write(tmp_path, {"base.py": base, "user.py": USER.format(imports="from base import Base", base="Base")})
    assert codes(tmp_path / "user.py") == []


def test_a_missing_file_and_a_folder_of_that_name(tmp_path):
    write(tmp_path, {"user.py": USER.format(imports="from base import Base", base="Base")})
    assert codes(tmp_path / "user.py") == []
    (tmp_path / "base.py").mkdir()
    assert codes(tmp_path / "user.py") == []


def test_the_cache_knows_what_an_answer_depends_on(tmp_path):
    def found() -> list[str]:
        result = check_paths([str(tmp_path)], lambda _: Settings(), cache=Cache(tmp_path / ".cache"))
        return [finding.code for file in result.checked for finding in file.findings]

    write(tmp_path, {"user.py": USER.format(imports="from base import Base", base="Base")})
    assert found() == []
    write(tmp_path, {"base.py": BASE})
    assert found() == found() == ["LIT201"]
    write(tmp_path, {"base.py": BASE.replace("pass", "automatic_optimization = False")})
    assert found() == found() == ["LIT204"]
    (tmp_path / "base.py").unlink()
    assert found() == []


def test_a_method_that_the_base_class_calls_is_no_misspelt_hook(tmp_path):
    base = "from litify import LightningModule\n\n\nclass Base(LightningModule):\n    def __init__(self):\n"
    base += "        super().__init__()\n        self.{}()\n"
    user = "import torch\nfrom base import Base\n\n\nclass Lit(Base):\n    def configure_models(self):\n        pass\n"
    user += "\n    def test_step(self, batch, batch_idx):\n        pass\n"
    write(tmp_path, {"base.py": base.format("configure_models"), "user.py": user})
    assert codes(tmp_path / "user.py") == []
    write(tmp_path, {"base.py": base.format("configure_all"), "user.py": user})
    assert codes(tmp_path / "user.py") == ["LIT803"]
