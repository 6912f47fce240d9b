"""`litify lint` as users run it: exit codes, output, settings, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DIRTY = """\
from litify import LightningModule


class Lit(LightningModule):
    def validation_step(self, batch, batch_idx):
        print(batch.cuda())
"""
CLEAN = "import torch\n"


def litify(*args: str, cwd: Path, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    environment = {
        k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "LITIFY_OUTPUT_FORMAT"}
    }
    done = subprocess.run(
        [sys.executable, "-m", "litify", *args],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**environment, **env},
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dirty.py").write_text(DIRTY)
    (tmp_path / "clean.py").write_text(CLEAN)
    return tmp_path


def test_findings_with_code_and_caret(project):
    done = litify("lint", ".", cwd=project)
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("dirty.py:6:9: LIT601 [*] `print` in `validation_step`")
    assert lines[4:6] == ["6 |         print(batch.cuda())", "  |         ^^^^^^^^^^^^^^^^^^^ LIT601"]
    assert lines[-2:] == ["Found 2 findings in 1 file.", "[*] 2 fixable with `--fix`."]


def test_nothing_to_find(project):
    done = litify("lint", "clean.py", cwd=project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "All checks passed!\n", "")


def test_the_current_folder_is_the_default(project):
    assert litify("lint", "--output-format", "concise", cwd=project).stdout.count("dirty.py:") == 2


def test_select_ignore_and_statistics(project):
    select = litify("lint", ".", "--select", "LIT1,LIT901", "--output-format", "concise", cwd=project)
    assert [line.split()[1] for line in select.stdout.splitlines()[:1]] == ["LIT101"]
    assert litify("lint", ".", "--ignore", "LIT101,print-call", cwd=project).returncode == 0
    counted = litify("lint", ".", "--statistics", cwd=project)
    assert (counted.returncode, counted.stdout) == (1, "1  LIT101  device-move\n1  LIT601  print-call\n")
    assert litify("lint", ".", "--exit-zero", cwd=project).returncode == 0


def test_settings_of_the_project(project):
    (project / "pyproject.toml").write_text('[tool.litify.lint]\nignore = ["LIT6"]\n')
    assert "Found 1 finding in 1 file." in litify("lint", ".", cwd=project).stdout
    assert "Found 2 findings in 1 file." in litify("lint", ".", "--isolated", cwd=project).stdout
    (project / "other.toml").write_text('[tool.litify.lint]\nselect = ["LIT9"]\n')
    assert litify("lint", ".", "--config", "other.toml", cwd=project).returncode == 0


def test_stdin(project):
    done = litify("lint", "-", "--output-format", "concise", cwd=project, stdin=DIRTY.encode())
    assert done.returncode == 1 and done.stdout.startswith("-:6:9: LIT601")
    (project / "pyproject.toml").write_text('[tool.litify.lint.per-file-ignores]\n"sub/x.py" = ["ALL"]\n')
    done = litify("lint", "-", "--stdin-filename", "sub/x.py", cwd=project, stdin=DIRTY.encode())
    assert (done.returncode, done.stdout) == (0, "All checks passed!\n")
    assert litify("lint", "x.py", "--stdin-filename", "x.py", cwd=project).returncode == 2


def test_formats_by_option_and_environment(project):
    for form in ("json", "sarif", "gitlab"):
        done = litify("lint", ".", "--output-format", form, cwd=project)
        assert done.returncode == 1
        json.loads(done.stdout)
    assert litify("lint", ".", cwd=project, LITIFY_OUTPUT_FORMAT="github").stdout.startswith("::warning ")
    done = litify("lint", ".", "--output-format", "json", "--output-file", "out.json", cwd=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(json.loads((project / "out.json").read_text())) == 2


def test_colours_only_when_wanted(project):
    assert "\x1b" not in litify("lint", ".", cwd=project).stdout
    assert "\x1b" in litify("lint", ".", cwd=project, FORCE_COLOR="1").stdout
    assert "\x1b" not in litify("lint", ".", cwd=project, FORCE_COLOR="1", NO_COLOR="1").stdout


def test_explain(project):
    done = litify("lint", "--explain", "device-move", cwd=project)
    assert done.returncode == 0
    assert done.stdout.startswith("# LIT101: device-move\n") and "x.cuda(), y.to(" in done.stdout
    done = litify("lint", "--explain", "LIT999", cwd=project)
    assert done.returncode == 2 and "no rule 'LIT999'" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nothing.py"], "error: nothing.py: No such file or directory"),
        (["--select", "LIT777"], "error: unknown rule 'LIT777' on the command line; did you mean LIT"),
        (["--config", "nothing.toml"], "error: nothing.toml: cannot be read: No such file or directory"),
        (["--config", "bad.toml"], "error: bad.toml: not valid TOML"),
        (
            ["--config", "key.toml"],
            "error: key.toml: unknown key 'selct' in [tool.litify.lint]; did you mean select?",
        ),
        (["--output-format", "xml"], "'xml' is not one of"),
        (
            ["--output-file", "no/such/folder", "."],
            "error: no/such/folder: cannot be written: No such file or directory",
        ),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(project, args, words):
    (project / "bad.toml").write_text("[tool")
    (project / "key.toml").write_text("[tool.litify.lint]\nselct = []\n")
    done = litify("lint", *args, cwd=project)
    assert done.returncode == 2
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_can_be_read_is_linted_beside_what_cannot(project):
    (project / "loop.py").symlink_to(project / "loop.py")
    done = litify("lint", "dirty.py", "gone.py", "loop.py", "--output-format", "concise", cwd=project)
    assert done.returncode == 2
    assert done.stdout.count("dirty.py:6") == 2
    assert done.stderr.splitlines() == [
        "litify lint: error: gone.py: No such file or directory",
        "litify lint: error: loop.py: Too many levels of symbolic links",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_and_folder_without_permission(project):
    (project / "secret").mkdir(mode=0)
    (project / "clean.py").chmod(0)
    done = litify("lint", ".", cwd=project)
    assert done.returncode == 2
    assert "clean.py: cannot be read: Permission denied" in done.stderr
    assert "secret: folder cannot be listed: Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"import torch\nx = (1\n", "bad.py:2:5: E901 syntax error: '(' was never closed"),
        (b"print 'loss'\n", "bad.py:1:1: E901 Python 2 code"),
        (b"\x7fELF\0\0\0", "bad.py:1:1: E902 binary file"),
        (b"x = '\xff'\n", "bad.py:1:1: E902 cannot be decoded: byte 0xff is not valid utf-8"),
    ],
)
def test_files_that_are_no_python(project, data, words):
    (project / "bad.py").write_bytes(data)
    done = litify("lint", "bad.py", "--output-format", "concise", cwd=project)
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.startswith(words) and len(done.stdout.splitlines()) == 2


def test_empty_file_and_folder_without_python(project):
    (project / "empty.py").write_bytes(b"")
    (project / "none").mkdir()
    assert litify("lint", "empty.py", cwd=project).returncode == 0
    done = litify("lint", "none", cwd=project)
    assert (done.returncode, done.stderr) == (0, "litify lint: warning: no Python files under none\n")


def test_a_file_name_that_is_no_text(project):
    name = os.fsencode(str(project)) + b"/x\xff.py"
    try:
        with open(name, "wb") as file:
            file.write(DIRTY.encode())
    except OSError:
        pytest.skip("this file system takes only text")
    for form in ("full", "json", "github"):
        done = litify("lint", ".", "--output-format", form, cwd=project)
        assert done.returncode == 1 and "udcff.py" in done.stdout


def test_help_and_explain_import_nothing_heavy(project):
    """`--help` must not wait for torch, nor for the rules; linting must not wait for torch, libcst or black."""
    check = (
        "import sys\n"
        "from litify.commands.lint import lint\n"
        "heavy = {'torch', 'libcst', 'black', 'litify_linter.check', 'litify_linter.rules'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert lint.main(['.'], standalone_mode=False) == 1\n"
        "assert not {'torch', 'libcst', 'black'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", check], cwd=project, check=True, capture_output=True)


FIXED = DIRTY.replace("print(batch.cuda())", "self.print(batch)")


class TestFix:
    def test_files_are_fixed_in_place(self, project):
        (project / "dirty.py").chmod(0o755)
        done = litify("lint", "--fix", ".", cwd=project)
        assert (done.returncode, done.stdout) == (0, "Found 2 findings (2 fixed, 0 remaining).\n")
        assert (project / "dirty.py").read_text() == FIXED
        assert (project / "dirty.py").stat().st_mode & 0o777 == 0o755
        assert sorted(p.name for p in project.iterdir()) == [".litify_cache", "clean.py", "dirty.py"]
        assert litify("lint", "--fix", ".", cwd=project).stdout == "All checks passed!\n"

    def test_what_is_left_is_shown(self, project):
        text = DIRTY + "\n    def setup(self, stage):\n        self.x = torch.load('x')\n"
        (project / "dirty.py").write_text("import torch\n" + text)
        done = litify("lint", "--fix", ".", cwd=project)
        assert done.returncode == 1
        assert done.stdout.startswith("dirty.py:10:18: LIT701 ")
        assert done.stdout.splitlines()[-2:] == [
            "Found 3 findings (2 fixed, 1 remaining).",
            "[*] 1 with `--fix --unsafe-fixes`.",
        ]
        assert litify("lint", "--fix", "--unsafe-fixes", ".", cwd=project).returncode == 0
        assert "weights_only=True" in (project / "dirty.py").read_text()

    def test_diff_writes_nothing(self, project):
        done = litify("lint", "--diff", ".", cwd=project)
        assert done.returncode == 1
        assert done.stdout.splitlines()[-2:] == [
            "-        print(batch.cuda())",
            "+        self.print(batch)",
        ]
        assert (project / "dirty.py").read_text() == DIRTY
        assert litify("lint", "--diff", "clean.py", cwd=project).returncode == 0
        assert litify("lint", "--diff", "--exit-zero", ".", cwd=project).returncode == 0

    def test_standard_input(self, project):
        done = litify("lint", "--fix", "-", cwd=project, stdin=DIRTY.encode())
        assert (done.returncode, done.stdout) == (0, FIXED)
        done = litify("lint", "--fix", "-", cwd=project, stdin=b"import torch\nx = (\n")
        assert (done.returncode, done.stdout) == (1, "import torch\nx = (\n")
        assert "E901" in done.stderr
        assert (
            "+        self.print(batch)"
            in litify("lint", "--diff", "-", cwd=project, stdin=DIRTY.encode()).stdout
        )

    def test_symbolic_links_stay(self, project):
        (project / "link.py").symlink_to("dirty.py")
        litify("lint", "--fix", "link.py", cwd=project)
        assert (project / "link.py").is_symlink() and (project / "dirty.py").read_text() == FIXED

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
    def test_a_folder_that_cannot_be_written(self, project):
        project.chmod(0o555)
        done = litify("lint", "--fix", ".", cwd=project)
        project.chmod(0o755)
        assert done.returncode == 2 and "dirty.py: cannot be written: Permission denied" in done.stderr
        assert (project / "dirty.py").read_text() == DIRTY


def test_the_cache(project):
    first = litify("lint", ".", cwd=project)
    assert (project / ".litify_cache").is_dir()
    assert litify("lint", ".", cwd=project).stdout == first.stdout
    assert litify("lint", ".", "--no-cache", "--jobs", "2", cwd=project).stdout == first.stdout
    elsewhere = project / "elsewhere"
    litify("lint", ".", cwd=project, LITIFY_CACHE_DIR=str(elsewhere))
    assert elsewhere.is_dir()


def rule(*args: str, cwd: Path) -> tuple[int, str, str]:
    code = (
        "import sys\nimport click\nfrom litify.commands.rule import rule\n"
        "try:\n    rule.main(sys.argv[1:], standalone_mode=False)\n"
        "except click.ClickException as error:\n    print(error.format_message(), file=sys.stderr)\n    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_rule_explains(project):
    code, out, _ = rule("LIT101", cwd=project)
    assert code == 0 and out.startswith("# LIT101: device-move\n")
    code, out, _ = rule(cwd=project)
    assert code == 0 and "LIT101  device-move " in out and len(out.splitlines()) >= 33
    code, out, _ = rule("--output-format", "json", cwd=project)
    rules = {one["code"]: one for one in json.loads(out)}
    assert rules["LIT101"]["fix"] == "safe" and rules["LIT201"]["severity"] == "error"
    code, out, _ = rule("--output-format", "json", "device-move", cwd=project)
    assert [one["code"] for one in json.loads(out)] == ["LIT101"]
    code, _, err = rule("LIT999", cwd=project)
    assert code == 2 and err.startswith("no rule 'LIT999'")


def test_what_could_not_be_read_has_not_passed(tmp_path: Path) -> None:
    done = litify("lint", "missing.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("litify lint: error: missing.py: No such file")
