"""A click group that lists its commands from a table and imports a command's module only when it
is called.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is not imported yet: its location (`module:attribute`) and its one-line help.

    `load` raises TypeError if the attribute is not a click command.
    """

    target: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        loaded = getattr(importlib.import_module(module), attribute)
        if not isinstance(loaded, click.Command):
            raise TypeError(f"{self.target} is not a click command")
        return loaded


class LazyGroup(click.Group):
    """The root group of the command line."""

    def __init__(self, name: str, *, commands: Mapping[str, LazyCommand], help: str) -> None:
        acting_as = click.Option(
            ["--as", "acting_as"],
            metavar="NAME",
            help="Who gives the command, for `drip audit`. Default: DRIP_ACTOR, else the login"
            " name.",
        )
        super().__init__(
            name,
            help=help,
            params=[acting_as],
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self._lazy = dict(commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line; a help text that cannot be written is a named error too."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            # Imported here: every other command line does without it until its command is known.
            from drip_pipeline.cli.framework.command import output_failed

            sys.exit(output_failed(error))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in alphabetical order."""
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command with this name; None if there is none."""
        lazy = self._lazy.get(cmd_name)
        return None if lazy is None else lazy.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table; click's own version would import every module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name].help) for name in self.list_commands(ctx)])
