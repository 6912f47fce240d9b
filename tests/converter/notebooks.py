"""Notebooks written for tests: as text, cell by cell, and as the files that they are."""

from __future__ import annotations

import json
from typing import Any

from litify_converter.notebook import without_indent
from litify_linter.ipython import python_of

MARKDOWN = "#md\n"  # a cell that begins so is markdown


def notebook(*cells: str, language: str = "python", minor: int = 5) -> str:
    """The file of a notebook with these cells, each as if it had run once and shown something."""
    document = {
        "cells": [_cell(number, text, minor) for number, text in enumerate(cells, 1)],
        "metadata": {"kernelspec": {"display_name": "K", "language": language, "name": "k"}, "mine": [1]},
        "nbformat": 4,
        "nbformat_minor": minor,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, text: str, minor: int) -> dict[str, Any]:
    cell: dict[str, Any] = {"metadata": {"tags": [f"t{number}"]}}
    if minor >= 5:
        cell["id"] = f"cell-{number}"
    if text.startswith(MARKDOWN):
        return {
            **cell,
            "cell_type": "markdown",
            "source": text.removeprefix(MARKDOWN).splitlines(keepends=True),
        }
    shown = [{"name": "stdout", "output_type": "stream", "text": ["shown\n"]}]
    return {
        **cell,
        "cell_type": "code",
        "execution_count": number,
        "outputs": shown,
        "source": text.splitlines(keepends=True),
    }


def sources(text: str) -> list[str]:
    """The cells of a notebook as `notebook` takes them. Asserts that the file is one of nbformat 4."""
    document = json.loads(text)
    assert document["nbformat"] == 4
    found = []
    for cell in document["cells"]:
        assert isinstance(cell["metadata"], dict)
        assert ("id" in cell) == (document["nbformat_minor"] >= 5)
        assert all(isinstance(line, str) for line in cell["source"])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
        else:
            assert "outputs" not in cell
        found.append((MARKDOWN if cell["cell_type"] == "markdown" else "") + "".join(cell["source"]))
    ids = [cell.get("id") for cell in document["cells"]]
    assert None in ids or len(set(ids)) == len(ids)
    return found


def cell_programs(text: str) -> list[str]:
    """The Python of each code cell of a notebook, without the lines of IPython."""
    return [python_of(without_indent(cell)) for cell in sources(text) if not cell.startswith(MARKDOWN)]


def program(text: str) -> str:
    """The Python that a notebook runs, cell after cell, without the lines of IPython."""
    return (
        "\n".join(python_of(without_indent(cell)) for cell in sources(text) if not cell.startswith(MARKDOWN))
        + "\n"
    )
