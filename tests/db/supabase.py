"""A database as Supabase sets a project up: its roles, default privileges, `auth.uid()` and
accounts. Tests of the platform, and of combinations with it, make their database with this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

import psycopg
from psycopg import sql

from drip_pipeline.db.connection import Connection, Database
from tests.conftest import own_database

SCRIPT = Path(__file__).parent / "supabase.sql"
PASSWORD = "fixture"
"""Of the login roles. The same for all databases, because roles belong to the whole server."""
PUBLIC_ROLES = ("anon", "authenticated")
"""The roles that requests from browsers run as."""


@dataclass(frozen=True)
class Supabase:
    """A project's database.

    `admin` connects as the server's superuser (the platform's `supabase_admin`), `owner` as the
    role that a project's administrator has: not a superuser, but bypassing row-level security.
    """

    admin: Database
    owner: Database
    owner_name: str

    def user_url(self, name: str, password: str = PASSWORD) -> str:
        """The URL of the database for a login role."""
        return as_user(self.admin.url, name, password)

    @contextmanager
    def request(self, role: str, user: UUID | None = None) -> Iterator[Connection]:
        """A transaction as the API's server runs it: connected as `authenticator`, in the role of
        the request, with the claims of its token. Undone at the end.
        """
        claims = {"role": role} | ({"sub": str(user)} if user else {})
        with psycopg.connect(self.user_url("authenticator")) as connection:
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            connection.execute(
                "SELECT set_config('request.jwt.claims', %s, true)", [json.dumps(claims)]
            )
            yield connection
            connection.rollback()


def set_up_supabase(admin_url: str) -> str:
    """Set the empty database of this URL up as Supabase does, and return the name of the role that
    stands for its `postgres`; where that name is a superuser's, it is `project_owner`.

    `admin_url`: a superuser's. Roles belong to the whole server: use a server of the test's own,
    because the migrations look whether `authenticated` exists. `as_user(admin_url, name, PASSWORD)`
    then is the URL of that role, and of `authenticator`. Other databases of the server may follow.
    """
    with psycopg.connect(admin_url) as connection:
        taken = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = 'postgres'"
        ).fetchone()
        owner = "project_owner" if taken == (True,) else "postgres"
        connection.execute(
            "SELECT set_config('test.owner', %s, false), set_config('test.password', %s, false)",
            [owner, PASSWORD],
        )
        connection.execute(SCRIPT.read_text(encoding="utf-8").encode())
    return owner


@contextmanager
def supabase_database(server_url: str) -> Iterator[Supabase]:
    """A project's database on the server (`platform_url`), dropped at the end; its roles stay."""
    with own_database(server_url, "template0") as admin:
        name = set_up_supabase(admin.url)
        with Database(as_user(admin.url, name, PASSWORD), application_name="tests") as owner:
            yield Supabase(admin, owner, name)


def as_user(url: str, name: str, password: str) -> str:
    """The URL with another user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(name)}:{quote(password)}@{host}"))
