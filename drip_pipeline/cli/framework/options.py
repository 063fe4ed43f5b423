"""Options and output that several commands share: `--now`, parsing of times and JSON, progress on
stderr, and counts as text. The commands are defined in the other modules of `cli/`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import TypeVar

import click

from drip_pipeline.iso_times import read_time

Decorated = TypeVar("Decorated", bound=Callable[..., object])

_SECONDS_BETWEEN_UPDATES = 0.5


def parse_time(
    _context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    """Parse an ISO 8601 time: a click callback. A time without an offset is in UTC.

    Raises click.BadParameter.
    """
    if text is None:
        return None
    try:
        return read_time(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}", param=parameter) from None


def _parse_time_or_now(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime:
    return parse_time(context, parameter, text) or datetime.now(UTC)


def now_option(function: Decorated) -> Decorated:
    """Add `--now ISO`, which replaces the current time of the engine."""
    return click.option(
        "--now",
        metavar="ISO",
        callback=_parse_time_or_now,
        help="Use this time as the current time (for tests and simulations).",
    )(function)


def reason_option(function: Decorated) -> Decorated:
    """Add `--reason TEXT`, which `drip audit` shows."""
    return click.option(
        "--reason", metavar="TEXT", help="Why; `drip audit` shows it. Addresses are masked."
    )(function)


def parse_mappings(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, list[str]]:
    """Parse `COLUMN=FIELD` texts: a click callback. A column may be given several times. Raises
    click.BadParameter.
    """
    renames: dict[str, list[str]] = {}
    for text in texts:
        column, separator, field = text.partition("=")
        if not separator or not column.strip():
            raise click.BadParameter(f"{text!r} is not COLUMN=FIELD")
        renames.setdefault(column.strip(), []).append(field.strip())
    return renames


def parse_types(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    """Parse `COLUMN=TYPE` texts: a click callback. Raises click.BadParameter."""
    from drip_pipeline.engine.contacts.column_types import CHOSEN_TYPES

    types = {}
    for text in (part for option in texts for part in option.split(",")):
        column, _, kind = text.rpartition("=")
        if not column.strip() or kind.strip() not in CHOSEN_TYPES:
            raise click.BadParameter(
                f"{text!r} is not COLUMN=TYPE with one of the types {', '.join(CHOSEN_TYPES)}"
            )
        types[column.strip()] = kind.strip()
    return types


def region_hint(reasons: Iterable[str]) -> list[str]:
    """Return what to do about numbers that were refused because their country is unknown."""
    if any(reason.endswith("phone_without_country") for reason in reasons):
        return [
            "hint: `drip workspace region CODE` sets the country of numbers without a country code"
        ]
    return []


class ProgressLine:
    """Print the progress of a long operation to stderr, at most twice a second.

    On a terminal one line is rewritten in place, and `close` clears it. Elsewhere each update is a
    line of its own.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._updated_at = float("-inf")
        self._width = 0

    def __call__(self, text: str) -> None:
        if monotonic() - self._updated_at < _SECONDS_BETWEEN_UPDATES:
            return
        self._updated_at = monotonic()
        if self._is_terminal:
            click.echo(f"\r{text.ljust(self._width)}", err=True, nl=False)
            self._width = len(text)
        else:
            click.echo(text, err=True)

    def close(self) -> None:
        """Clear the line on a terminal."""
        if self._is_terminal and self._width:
            click.echo(f"\r{' ' * self._width}\r", err=True, nl=False)
            self._width = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def format_counts(counts: Mapping[str, int]) -> str:
    """Return `{"a_b": 1200, "c": 0}` as `1,200 a b, 0 c`; `nothing` for an empty mapping."""
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items()) or "nothing"


def without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts that are not 0."""
    return {name: count for name, count in counts.items() if count}
