"""How sessions with the server are opened: directly, or through a pooler.

A pooler in transaction mode gives a client another server session for each transaction. Nothing
that lasts longer than a transaction may then be used: prepared statements, SET, session locks,
temporary tables. Settings of a session are therefore made again in each transaction, and those of
the URL's `options`, which poolers refuse or ignore, are among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from drip_pipeline.errors import DatabaseUnsuitable, SettingsError

CONNECT_TIMEOUT_SECONDS: Final = 10
# JIT compiles for longer than any of the engine's statements run.
_SETTINGS: Final = (("TimeZone", "UTC"), ("jit", "off"))
_SET: Final = """
SELECT set_config(s.name, s.value, %s) FROM unnest(%s::text [], %s::text []) AS s (name, value)
"""
_PREPARE_THRESHOLD: Final = 5
_REFUSED_PARAMETER: Final = "unsupported startup parameter"
_OPTION: Final = re.compile(r"(?:-c|--)(?P<name>[A-Za-z][\w.-]*)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Access:
    """How a session is opened, and what is set in it.

    `settings` are pairs of name and value. `is_transactional`: a session lasts only as long as a
    transaction. `options` replaces the startup parameter of that name; None leaves it as it is.
    """

    settings: tuple[tuple[str, str], ...]
    is_transactional: bool
    options: str | None

    def arguments(self, application_name: str) -> dict[str, Any]:
        """Return the arguments of psycopg.connect besides the URL."""
        arguments: dict[str, Any] = {
            "application_name": application_name,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "client_encoding": "UTF8",
            "prepare_threshold": None if self.is_transactional else _PREPARE_THRESHOLD,
        }
        if self.options is not None:
            arguments["options"] = self.options
        return arguments

    def begin_session(self, connection: psycopg.Connection[Any]) -> None:
        """Make the settings of a new session, unless each transaction makes them."""
        if not self.is_transactional:
            self._set(connection, is_local=False)
            connection.commit()

    def begin_transaction(self, connection: psycopg.Connection[Any]) -> None:
        """Make the settings for the transaction that is open, unless the session has them."""
        if self.is_transactional:
            self._set(connection, is_local=True)

    def check_autocommit(self) -> None:
        """Raise DatabaseUnsuitable if statements outside a transaction would not have the settings
        of the URL."""
        if self.is_transactional and self.settings != _SETTINGS:
            names = ", ".join(name for name, _ in self.settings if (name, _) not in _SETTINGS)
            raise DatabaseUnsuitable(
                f"{names} in the URL's options cannot be set outside a transaction behind a pooler",
                hint="Set it for the role (ALTER ROLE … IN DATABASE … SET …), or connect directly.",
            )

    def _set(self, connection: psycopg.Connection[Any], *, is_local: bool) -> None:
        names, values = zip(*self.settings, strict=True)
        connection.execute(_SET, [is_local, list(names), list(values)], prepare=False)


DIRECT: Final = Access(_SETTINGS, is_transactional=False, options=None)


def through_pooler(url: str, *, is_transactional: bool) -> Access:
    """Return the access through a pooler. Raises SettingsError for options that are no settings."""
    return Access((*_SETTINGS, *_settings_of(url)), is_transactional, options="")


def has_other_process_id(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the process id of the connection is not that of the server process.

    A pooler that shares server sessions cannot hand out a server's key for canceling, which
    contains the process id, and makes one up. The mode of the pooler cannot be seen from outside.
    """
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    connection.commit()
    return row is not None and row[0] != connection.info.backend_pid


def is_refusal_of_options(error: psycopg.OperationalError) -> bool:
    """Return whether a pooler refused the connection because of its `options`."""
    return _REFUSED_PARAMETER in str(error)


def _settings_of(url: str) -> Iterator[tuple[str, str]]:
    words = iter(_words(_options_of(url)))
    for word in words:
        match = _OPTION.fullmatch(f"-c{next(words, '')}" if word == "-c" else word)
        if match is None:
            raise SettingsError(
                "DRIP_DATABASE_URL",
                "has options that cannot be set behind a pooler",
                hint="Write them as `-c name=value`.",
            )
        yield match["name"].replace("-", "_"), match["value"]


def _options_of(url: str) -> str:
    options = conninfo_to_dict(url).get("options")
    if options is not None:
        return str(options)
    # libpq reads PGOPTIONS if the URL has no options.
    defaults = {each.keyword: each.val for each in psycopg.pq.Conninfo.get_defaults()}
    return (defaults.get(b"options") or b"").decode()


def _words(options: str) -> list[str]:
    """Split options as the server does: at white space that no backslash precedes."""
    words = re.findall(r"(?:\\.|[^\s\\])+", options, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL) for word in words]
