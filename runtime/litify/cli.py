"""The `litify` command. A subcommand's code is imported only when that subcommand runs."""

from __future__ import annotations

import importlib
import os
import sys

import click

# name -> (module:function, one line of help, one example). `--help` is answered from this table alone.
COMMANDS = {
    "convert": (
        "litify.commands.convert:convert",
        "Turn a raw PyTorch script into a LightningModule, a DataModule and a Trainer call.",
        "litify convert train.py",
    ),
    "verify": (
        "litify.commands.verify:verify",
        "Prove that the converted script takes the same optimizer steps.",
        "litify verify train.py train_lit.py",
    ),
    "lint": (
        "litify.commands.lint:lint",
        "Keep engineering code out of research code.",
        "litify lint .",
    ),
    "run": (
        "litify.commands.run:run",
        "Train a converted script on CPU, GPUs, nodes or TPU cores.",
        "litify run train_lit.py --gpus 4 --precision 16",
    ),
    "rule": (
        "litify.commands.rule:rule",
        "Explain a lint rule.",
        "litify rule LIT101",
    ),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text, _) in COMMANDS.items()])
        with formatter.section("Examples"):
            for _, _, example in COMMANDS.values():
                formatter.write_text(example)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litify", prog_name="litify")
def litify() -> None:
    """Raw PyTorch in, Lightning out: converted, proven, linted and trained.

    Exit codes: 0 success, 1 findings or a refusal, 2 wrong use or unreadable input, 130 interrupted.
    """


def main() -> None:
    """Run the command line and leave with its exit code; wrong use is one line on stderr, never a traceback."""
    try:
        code = litify.main(prog_name="litify", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.exceptions.Abort:  # click's word for Ctrl-C
        click.echo("litify: interrupted", err=True)
        code = 130
    except click.ClickException as error:
        hint = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "litify"
        click.echo(f"{hint}: error: {error.format_message()}", err=True)
        code = error.exit_code
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
