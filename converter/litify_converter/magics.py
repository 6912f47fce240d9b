"""What IPython's own lines do to a program: nothing, something that Python can say, or something that can't be known."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass

from litify_linter.ipython import Command

# Line magics that change how a notebook looks or works, and no number of the program.
_HARMLESS = re.compile(
    "autoreload|colors?|config|connect_info|debug|gui|hist|history|less|load_ext|logoff|logon|logstart|logstate|logstop|ls"
    "|lsmagic|ll|magic|man|matplotlib|more|notebook|page|pastebin|pdb|pdef|pdoc|pfile|pinfo2?|pprint|precision|psearch|psource"
    "|pwd|pycat|qtconsole|quickref|reload_ext|tb|tensorboard|unload_ext|version_information|wandb|watermark|who|who_ls|whos"
    "|xmode"
)
_SHELL = re.compile("cat|conda|cp|mamba|mkdir|mv|pip|rm|rmdir|sx|system|uv")
_SHELL_CELL = re.compile("!|bash|cmd|script|sh|sx|system")
_SHOWN_CELL = re.compile("html|HTML|javascript|js|latex|markdown|svg|SVG")
_PLAIN_CELL = re.compile("prun|time|wandb")  # the Python of the cell runs once, as it stands
_CELL = re.compile(r"%%([\w!]+)[ \t]*([^\r\n]*)")
_LINE = re.compile(r"%?([A-Za-z_]\w*)[ \t]*(.*)", re.DOTALL)
_ASSIGNED = re.compile(r"[\w, ]+=\s*[!%]")
_SETTING = re.compile(r"(\w+)(?:=|[ \t]+)(\S.*)")
_EXPANDED = re.compile(r"[${}~`*]")  # what the shell or IPython would put something else in the place of


@dataclass(frozen=True)
class Meaning:
    """What a command comes to in a script.

    `code`: the Python that does the same, with `os` imported where it says `os.`, None where a comment is enough; `kind` and
    `note`: what the report says; `unknown`: why the program can't be told from its text, empty where it can; `stored`: a
    name that it binds to what was printed.
    """

    note: str
    kind: str = "non-essential"
    code: str | None = None
    unknown: str = ""
    stored: str = ""


_BY_SHELL = Meaning("a shell command, which a script does not run", "look")


def meaning(command: Command, is_first: bool) -> Meaning:
    """What a command does to the program; `is_first`: no statement comes before it."""
    text = command.text
    if text.startswith("%%"):
        return _of_cell(text)
    if text.startswith(("?", "!")) or text.rstrip().endswith("?"):
        return _BY_SHELL if text.startswith("!") else Meaning("help")
    if _ASSIGNED.match(text):
        return Meaning("", unknown="what it gives is known only when it has run")
    match = _LINE.fullmatch(text)
    if match is None:
        return Meaning("", unknown="it is no magic that is known")
    return _of_line(match[1], match[2].strip(), is_first)


def _of_cell(text: str) -> Meaning:
    match = _CELL.match(text)
    name, options = (match[1], match[2].strip()) if match else ("", "")
    if _SHELL_CELL.fullmatch(name) and "--out" not in options and "--err" not in options:
        return _BY_SHELL
    if _SHOWN_CELL.fullmatch(name):
        return Meaning("it only shows something")
    if name == "capture":
        stored = next((word for word in options.split() if word.isidentifier()), "")
        return Meaning("what the cell prints is shown", stored=stored)
    if _PLAIN_CELL.fullmatch(name) and (not options or options.startswith(("-", "#"))):
        return Meaning("the cell runs without it", "engineering")
    if name in ("writefile", "file"):
        return Meaning("", unknown="the file that it writes can be part of the program")
    if name == "timeit":
        return Meaning("", unknown="how often it runs its code is known only then")
    return Meaning("", unknown="its cell is not Python of this program")


def _of_line(name: str, rest: str, is_first: bool) -> Meaning:
    if name in ("time", "prun") and not rest.startswith("-") and _is_python(rest):
        return Meaning("the statement runs without it", "engineering", code=rest)
    if name == "time" and not rest:
        return Meaning("it only shows something")
    if name in ("cd", "env", "set_env"):
        return _of_process(name, rest)
    if _SHELL.fullmatch(name):
        return _BY_SHELL
    if _HARMLESS.fullmatch(name):
        return Meaning("a setting of the notebook")
    if name == "reset" and is_first:
        return Meaning("nothing is there to be reset")
    if name == "run":
        return Meaning("", unknown="it runs another file in this program")
    if name == "timeit":
        return Meaning("", unknown="how often it runs its code is known only then")
    return Meaning("", unknown="what it does to the program can't be told from the text")


def _is_python(text: str) -> bool:
    try:
        return bool(ast.parse(text).body)
    except (SyntaxError, ValueError):
        return False


def _of_process(name: str, rest: str) -> Meaning:
    """The working folder and the environment, where what they become stands in the line."""
    if name != "cd":
        setting = _SETTING.fullmatch(rest)
        if setting is None:
            return Meaning("it only shows something")
        if _EXPANDED.search(rest):
            return Meaning("", unknown="what it sets is known only when it runs")
        return Meaning("the script sets it", "research", code=f"os.environ[{setting[1]!r}] = {setting[2]!r}")
    try:
        words = shlex.split(rest)
    except ValueError:
        words = []
    if len(words) != 1 or words[0].startswith("-") or _EXPANDED.search(rest):
        return Meaning("", unknown="the folder that it changes to is known only when it runs")
    return Meaning("the script changes to it", "research", code=f"os.chdir({words[0]!r})")
