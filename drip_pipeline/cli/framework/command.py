"""The `command` decorator: the `--json` switch, lazily opened settings and database, output, and
errors with their exit codes. Commands themselves are defined in the other modules of `cli/`.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from drip_pipeline.errors import DripError
from drip_pipeline.log_setup import configure_logging
from drip_pipeline.redaction import redact

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from drip_pipeline.db.connection import Database
    from drip_pipeline.db.standby import ReadDatabase
    from drip_pipeline.engine.audit import Actor
    from drip_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command: `data` for `--json`, and `text` for a terminal.

    `data` may contain mappings, sequences, dataclasses, named tuples, times, UUIDs, decimals and
    paths. `text` is a string or a rich renderable; without it, `data` is printed as a table.
    `exit_code` is 1 for results that report a failure.
    """

    data: object
    text: RenderableType | None = None
    exit_code: int = 0


@dataclass
class Invocation:
    """One call of a command: the first argument of its function.

    The settings are read and the database is opened at first use.
    """

    is_json: bool
    acting_as: str | None = None
    _settings: Settings | None = None
    _database: Database | None = None
    _reads: ReadDatabase | None = None
    _resources: ExitStack = field(default_factory=ExitStack)

    @property
    def settings(self) -> Settings:
        """Return the settings from the environment. Raises SettingsError."""
        if self._settings is None:
            # Imported here: pydantic-settings takes 80 ms, which no --help needs.
            from drip_pipeline.settings import Settings

            self._settings = Settings.from_env()
        return self._settings

    @property
    def database(self) -> Database:
        """Return the engine's database, and start the embedded server if it is stopped.

        It is closed when the command ends. Raises DatabaseUnavailable.
        """
        if self._database is None:
            from drip_pipeline.db.connection import Database

            self._database = self._resources.enter_context(Database.from_settings(self.settings))
        return self._database

    @property
    def actor(self) -> Actor:
        """Return who gives the command: `--as`, else DRIP_ACTOR, else the login name."""
        from drip_pipeline.engine.audit import Actor

        return Actor.of("cli", self.acting_as, self.settings.actor)

    @property
    def read_database(self) -> Database:
        """Return the standby of DRIP_READ_DATABASE_URL, or else the engine's database.

        For commands that only read, and whose answer may be as old as DRIP_READ_MAX_LAG allows.
        """
        if self._reads is None and self.settings.read_database_url is not None:
            from drip_pipeline.db.standby import read_database

            self._reads = read_database(self.settings)
            if self._reads is not None:
                self._resources.enter_context(self._reads)
        return self._reads or self.database

    def note_lag(self) -> None:
        """Say on stderr that the command read from a standby, and how far behind that was."""
        if self._reads is not None:
            lag = self._reads.lag_seconds
            behind = "an unknown time" if lag is None else f"{lag:.1f} s"
            click.echo(f"read from DRIP_READ_DATABASE_URL, {behind} behind the primary", err=True)

    def reopen_database(self) -> Database:
        """Close the database, and open it again from the settings. Raises DatabaseUnavailable."""
        self._resources.close()
        self._database = None
        return self.database

    def close(self) -> None:
        """Close the database if it was opened."""
        self._resources.close()


def command(
    group: click.Group | None = None, name: str | None = None
) -> Callable[[Callable[..., object]], click.Command]:
    """Turn a function into a click command, on its own or in a group.

    The function takes an Invocation and click's parameters (put `@click.option` below this
    decorator). It returns a CommandResult, or its data alone. Its docstring is the help text.
    A DripError or a missing file is printed as one sentence and exits with code 1; click exits
    with code 2 on wrong usage.
    """

    def decorate(function: Callable[..., object]) -> click.Command:
        @functools.wraps(function)
        def invoke(*, as_json: bool, **params: object) -> None:
            sys.exit(_execute(function, as_json, params))

        switch = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
        own_name = name or function.__name__.removesuffix("_").replace("_", "-")
        created: click.Command = click.command(own_name)(switch(invoke))
        if group is not None:
            group.add_command(created)
        return created

    return decorate


def table(
    rows: Iterable[object], columns: Sequence[str] | None = None, *, title: str = ""
) -> Table:
    """Return a rich table of mappings, named tuples or dataclasses.

    `columns` selects and orders the columns; the default is all columns of the first row that have
    a value in any row.
    """
    from rich.table import Table
    from rich.text import Text

    records = [_record(row) for row in rows]
    if columns is None:
        names = list(records[0]) if records else []
        columns = [name for name in names if any(each.get(name) is not None for each in records)]
    created = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        created.add_column(column.replace("_", " "), overflow="fold")
    for record in records:
        # Text, not str: rich would read `[…]` in it as markup.
        created.add_row(*(Text(_format(record.get(column))) for column in columns))
    return created


def json_text(data: object) -> str:
    """Return the data of a CommandResult as indented JSON. Raises TypeError for other types."""
    import orjson

    option = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(data, default=_plain, option=option).decode()


def _execute(function: Callable[..., object], is_json: bool, params: dict[str, object]) -> int:
    configure_logging()
    root = click.get_current_context().find_root()
    invocation = Invocation(is_json, root.params.get("acting_as"))
    try:
        configure_logging(invocation.settings.log_level)
        _warn_of_unknown_settings()
        result = function(invocation, **params)
        invocation.note_lag()
        if not isinstance(result, CommandResult):
            result = CommandResult(result)
        return _print_result(result, is_json)
    except DripError as error:
        return _print_error(error, is_json)
    except BrokenPipeError:
        raise  # the reader of the output has ended: click exits without a message
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        where = f"{error.filename}: " if error.filename is not None else ""
        return _print_error(DripError(f"{where}{reason}"), is_json)
    finally:
        invocation.close()


def _warn_of_unknown_settings() -> None:
    """Name each variable with the prefix DRIP_ that is no setting: it has no effect."""
    from drip_pipeline.settings import SETTINGS, environment_variables_unknown

    for name in environment_variables_unknown():
        near = get_close_matches(name, [setting.name for setting in SETTINGS], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        click.echo(
            f"{click.style('Warning', fg='yellow')}: {name} is not a known setting{hint}", err=True
        )


def _print_result(result: CommandResult, is_json: bool) -> int:
    """Print the result and return the exit code: 1 if standard output cannot be written."""
    try:
        _print(result, is_json)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        return output_failed(error)
    return result.exit_code


def output_failed(error: OSError) -> int:
    """Say on stderr that standard output cannot be written, and return the exit code.

    What is still buffered is discarded: Python would fail again when it exits.
    """
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    reason = error.strerror or str(error)
    label = click.style("Error", fg="red")
    click.echo(f"{label}: the output cannot be written: {reason}.", err=True)
    click.echo("What the command did is done; only its output is lost.", err=True)
    return 1


def _print(result: CommandResult, is_json: bool) -> None:
    if is_json:
        click.echo(json_text(result.data))
        return
    shown = result.data if result.text is None else result.text
    if shown is None:
        return
    if isinstance(shown, str):
        click.echo(shown)  # not through rich: it would fold long URLs
        return
    from rich.console import Console

    if _is_record(shown):
        Console().print(_pairs(_record(shown)))
    elif not isinstance(shown, (list, tuple)):
        Console().print(shown)
    elif shown:
        Console().print(table(shown))
    else:
        click.echo("none")


def _pairs(data: Mapping[str, object]) -> Table:
    from rich.table import Table
    from rich.text import Text

    created = Table(show_header=False, box=None)
    created.add_column(style="bold")
    created.add_column(overflow="fold")
    for name, value in data.items():
        created.add_row(str(name).replace("_", " "), Text(_format(value)))
    return created


def _print_error(error: DripError, is_json: bool) -> int:
    message, items = redact(error.message), error.items()
    if is_json:
        try:
            click.echo(json_text({"error": message, "hint": error.hint, **error.details()}))
        except BrokenPipeError:
            raise
        except OSError as failure:
            output_failed(failure)
    stop = "" if message.endswith((".", "!", "?")) else ":" if items else "."
    click.echo(f"{click.style('Error', fg='red')}: {message}{stop}", err=True)
    for item in items:
        click.echo(f"  - {redact(item)}", err=True)
    if error.hint:
        click.echo(error.hint, err=True)
    return 1


def _is_record(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        or (isinstance(value, tuple) and hasattr(value, "_asdict"))
        or (is_dataclass(value) and not hasattr(value, "__rich_console__"))
    )


def _record(row: object) -> Mapping[str, object]:
    if isinstance(row, Mapping):
        return row
    if isinstance(row, tuple) and hasattr(row, "_asdict"):
        record: dict[str, object] = row._asdict()
        return record
    if is_dataclass(row):
        return {each.name: getattr(row, each.name) for each in fields(row)}
    raise TypeError(f"{type(row).__name__} has no columns")


def _format(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, tuple):  # orjson writes plain tuples itself, but no named tuples
        return _record(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
