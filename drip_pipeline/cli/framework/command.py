"""What every command shares: the --json switch, settings and database made at first use, printing
of answers, and errors as one sentence with the right exit code. No command of its own belongs here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click
import structlog

from drip_pipeline.errors import DripError
from drip_pipeline.log_setup import configure_logging, redact

if TYPE_CHECKING:
    from drip_pipeline.db.connection import Database
    from drip_pipeline.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command says: `data` for --json, and for people `text`, a plain text or a rich
    renderable.

    Without `text`, data is shown as a table. `exit_code` is for answers that are themselves bad
    news.
    """

    data: Any
    text: Any = None
    exit_code: int = 0


@dataclass
class Invocation:
    """What a command is handed as its first argument. Settings are read and the database is opened
    at first use.
    """

    is_json: bool
    _settings: Settings | None = None
    _database: Database | None = None
    _resources: ExitStack = field(default_factory=ExitStack)

    @property
    def settings(self) -> Settings:
        """The settings from the environment."""
        if self._settings is None:
            # Imported here: pydantic-settings takes 80 ms, which no --help needs.
            from drip_pipeline.settings import Settings

            self._settings = Settings.from_env()
        return self._settings

    @property
    def database(self) -> Database:
        """The engine's database; the embedded server is started if it is down. Closed when the
        command ends.
        """
        if self._database is None:
            from drip_pipeline.db.connection import Database

            self._database = self._resources.enter_context(Database.from_settings(self.settings))
        return self._database

    def close(self) -> None:
        """Close what was opened."""
        self._resources.close()


def command(
    group: click.Group | None = None, name: str | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command, standing alone or in a group.

    The function gets an Invocation and click's parameters (put `@click.option` below this
    decorator) and returns an Answer, JSON-able data, a text, or None. Its docstring is the help.
    DripErrors and missing files end with exit code 1 and a sentence; wrong usage, by click, with 2.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def invoke(*, as_json: bool, **params: Any) -> None:
            sys.exit(_executed(function, as_json, params))

        switch = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
        own_name = name or function.__name__.removesuffix("_").replace("_", "-")
        made: click.Command = click.command(own_name)(switch(invoke))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None, *, title: str = ""
) -> Any:
    """A rich table of dictionaries; `columns` chooses and orders them, by default all of the first
    row.
    """
    from rich.table import Table
    from rich.text import Text

    listed = list(rows)
    names = list(columns) if columns is not None else list(listed[0]) if listed else []
    made = Table(title=title or None, title_justify="left", header_style="bold")
    for column in names:
        made.add_column(column.replace("_", " "), overflow="fold")
    for row in listed:
        # Text, not str: rich would read `[…]` in it as markup.
        made.add_row(*(Text(_shown(row.get(column))) for column in names))
    return made


def json_text(data: Any) -> str:
    """Data as indented JSON: dataclasses, times, UUIDs and paths included."""
    import orjson

    option = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(data, default=_plain, option=option).decode()


def _executed(function: Callable[..., Any], is_json: bool, params: dict[str, Any]) -> int:
    configure_logging()
    invocation = Invocation(is_json)
    try:
        configure_logging(invocation.settings.log_level)
        answer = function(invocation, **params)
        if not isinstance(answer, CommandResult):
            answer = CommandResult(answer)
        _print(answer, is_json)
        return answer.exit_code
    except DripError as error:
        return _failed(error.message, error.hint, error.items(), error.details(), is_json)
    except OSError as error:
        if error.filename is None:
            raise
        return _failed(f"{error.filename}: {error.strerror}", "", (), {}, is_json)
    finally:
        invocation.close()


def _print(answer: CommandResult, is_json: bool) -> None:
    if is_json:
        click.echo(json_text(answer.data))
        return
    shown = answer.data if answer.text is None else answer.text
    if shown is None:
        return
    if isinstance(shown, str):
        click.echo(shown)  # not through rich: it would fold long URLs
        return
    from rich.console import Console

    console = Console()
    if isinstance(shown, Mapping):
        shown = _pairs(shown)
    elif isinstance(shown, (list, tuple)):
        if not shown:
            click.echo("none")
            return
        shown = table(shown)
    console.print(shown)


def _pairs(data: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    made = Table(show_header=False, box=None)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in data.items():
        made.add_row(str(name).replace("_", " "), Text(_shown(value)))
    return made


def _failed(
    sentence: str, hint: str, items: Sequence[str], details: Mapping[str, Any], is_json: bool
) -> int:
    sentence = redact(sentence)
    if is_json:
        click.echo(json_text({"error": sentence, "hint": hint, **details}))
    stop = "" if sentence.endswith((".", "!", "?")) else ":" if items else "."
    click.echo(f"{click.style('Error', fg='red')}: {sentence}{stop}", err=True)
    for item in items:
        click.echo(f"  - {redact(item)}", err=True)
    if hint:
        click.echo(hint, err=True)
    return 1


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return str(value)


def _plain(value: Any) -> Any:
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
