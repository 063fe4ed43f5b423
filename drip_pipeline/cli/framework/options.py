"""Options and manners that several commands share: `--now`, JSON on the command line, progress on
stderr. What commands do is in their own modules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_SECONDS_BETWEEN_LINES = 0.5


def parse_time(
    _context: click.Context, parameter: click.Parameter, given: str | None
) -> datetime | None:
    """A callback of options: an ISO 8601 time as an aware one (UTC where it names no zone)."""
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise click.BadParameter(
            f"{given!r} is not a time like 2026-03-02T09:00:00Z", param=parameter
        ) from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _or_now(context: click.Context, parameter: click.Parameter, given: str | None) -> datetime:
    return parse_time(context, parameter, given) or datetime.now(UTC)


def now_option(function: Decorated) -> Decorated:
    """`--now ISO`: moves the engine's clock; without it the command gets the real time."""
    return click.option(
        "--now",
        metavar="ISO",
        callback=_or_now,
        help="Take this as the present time (tests, simulation).",
    )(function)


class ProgressLine:
    """Says on stderr how far long work has come: on a terminal one line that changes, elsewhere a
    line now and then. `close` leaves the terminal's line as it should be.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._said_at = float("-inf")
        self._width = 0

    def __call__(self, text: str) -> None:
        if monotonic() - self._said_at < _SECONDS_BETWEEN_LINES:
            return
        self._said_at = monotonic()
        if self._is_terminal:
            click.echo(f"\r{text.ljust(self._width)}", err=True, nl=False)
            self._width = len(text)
        else:
            click.echo(text, err=True)

    def close(self) -> None:
        """Clear the changing line."""
        if self._is_terminal and self._width:
            click.echo(f"\r{' ' * self._width}\r", err=True, nl=False)
            self._width = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def format_counts(counts: Mapping[str, int]) -> str:
    """`{"a_b": 1200}` as `1,200 a b`, several with commas; `nothing` without any."""
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items()) or "nothing"
