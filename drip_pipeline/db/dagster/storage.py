"""Find or create the database in which Dagster stores its runs and events.

Its tables are created by Dagster.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from drip_pipeline.db.connection import CONNECT_TIMEOUT_SECONDS
from drip_pipeline.db.error_translation import translated_errors
from drip_pipeline.db.urls import dagster_url, database_name, libpq_url, with_database
from drip_pipeline.errors import DripError, SettingsError
from drip_pipeline.settings import Settings

DEFAULT_NAME = "dagster"


def storage_url(settings: Settings, engine_url: str) -> str:
    """Return the URL of Dagster's storage with the driver name that Dagster needs.

    Create the database if it does not exist. Raises SettingsError if it is the engine's own
    database, DatabaseError if it cannot be created.
    """
    url = _url(settings, engine_url)
    if url == libpq_url(engine_url):
        raise SettingsError(
            "DRIP_DAGSTER_DATABASE_URL",
            "names the engine's own database",
            hint="Name another database on that server; each has its own tables.",
        )
    _ensure_exists(url)
    return dagster_url(url)


def existing_storage_url(settings: Settings, engine_url: str) -> str | None:
    """Return the libpq URL of Dagster's storage, or None if that database does not exist."""
    url = _url(settings, engine_url)
    return url if url != libpq_url(engine_url) and _answers(url) else None


def _url(settings: Settings, engine_url: str) -> str:
    if settings.dagster_database_url is not None:
        return libpq_url(settings.dagster_database_url.reveal())
    return with_database(libpq_url(engine_url), DEFAULT_NAME)


def _ensure_exists(url: str) -> None:
    if _answers(url):
        return
    name = database_name(url)
    try:
        with (
            translated_errors(url),
            psycopg.connect(
                with_database(url, "postgres"),
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
            ) as connection,
        ):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except DripError as error:
        if _answers(url):
            return  # another process created it first
        error.hint = (
            f"Create the database {name!r} on that server, or set DRIP_DAGSTER_DATABASE_URL to"
            " another one."
        )
        raise


def _answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_SECONDS):
            return True
    except psycopg.Error:
        return False
