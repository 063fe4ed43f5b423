"""The first campaign on every combination of PostgreSQL's versions, poolers, schemas and roles that
this machine has: `make matrix` prints a table, and exits with 1 if a combination is neither green
nor refused by name.

Servers are the packaged one, those of Debian, and the folders of programs in POSTGRES_BINS
(separated by colons). PgBouncer is used where it is installed, the proxy of the tests anywhere.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.errors import DripError
from drip_pipeline.settings import CHECKOUT
from tests.conftest import OVERRIDES, own_database
from tests.db.supabase import PASSWORD, as_user, set_up_supabase
from tests.poolers.first_campaign import FirstCampaign
from tests.poolers.pgbouncer import pgbouncer, program
from tests.poolers.transaction_proxy import transaction_proxy, with_port

PLAIN, APPLICATION = "plain_owner", "drip_app"
SUPABASE_OWNERS: Final = ("postgres", "project_owner")
SCHEMAS: Final = ("public", "own, of the role", "own, in the URL")
"""Another schema is on the search path of the roles, or in the options of the URL."""
ROLES: Final = ("plain", "Supabase")
_MAKE_ROLE: Final = """
DO $$ BEGIN
    CREATE ROLE {name} LOGIN PASSWORD {password};
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a combination. `problem` is empty if it is green."""

    problem: str
    is_refused: bool
    seconds: float

    def __str__(self) -> str:
        if not self.problem:
            return f"green, {self.seconds:.1f} s"
        return f"{'refused' if self.is_refused else 'BROKEN'}: {self.problem}"


def run_cell(server_url: str, port: int, *, schema: str, roles: str) -> Result:
    """Run the first campaign in a database of its own. `port` is the server's, or a pooler's."""
    began = time.perf_counter()
    step = "set-up"
    try:
        with _prepared(server_url, port, schema, roles) as (campaign, give_rights):
            for step, run in campaign.steps().items():
                run()
                if step == "migrate twice":
                    give_rights()
    except Exception as error:  # noqa: BLE001 - the other combinations count, too
        text = str(error).strip().splitlines()
        problem = f"{step}: {type(error).__name__}: {text[0] if text else ''}"
        return Result(problem, isinstance(error, DripError), time.perf_counter() - began)
    return Result("", is_refused=False, seconds=time.perf_counter() - began)


Prepared = tuple[FirstCampaign, Callable[[], None]]
"""The steps, and what gives the roles their rights on the migrated tables."""


@contextmanager
def _prepared(server_url: str, port: int, schema: str, roles: str) -> Iterator[Prepared]:
    options = f"?options={quote('-c search_path=own')}" if schema == "own, in the URL" else ""
    with ExitStack() as stack:
        admin = stack.enter_context(own_database(server_url, "template0"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drip-matrix-")))
        if roles == "plain":
            owner = user = PLAIN
            with psycopg.connect(admin.url, autocommit=True) as connection:
                make_role(connection, PLAIN)
                name = sql.Identifier(admin.url.rpartition("/")[2])
                own = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(PLAIN))
                connection.execute(own)
        else:
            owner, user = set_up_supabase(admin.url), APPLICATION
        with psycopg.connect(admin.url) as connection:
            if schema != "public":
                made = sql.SQL("CREATE SCHEMA own AUTHORIZATION {}")
                connection.execute(made.format(sql.Identifier(owner)))
            if schema == "own, of the role":
                name = sql.Identifier(admin.url.rpartition("/")[2])
                setting = sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = own")
                make_role(connection, user)
                for role in {owner, user}:
                    connection.execute(setting.format(sql.Identifier(role), name))
        direct = as_user(admin.url, owner, PASSWORD) + options

        def give_rights() -> None:
            if roles == "plain":
                return
            with psycopg.connect(direct) as connection:
                connection.execute("SET drip.keep_owner = 'on'")
                # docs/deployment.md says so for another schema.
                text = _script("roles.sql")
                if schema != "public":
                    text = text.replace(b"SCHEMA public", b"SCHEMA own").replace(
                        b"'public'", b"'own'"
                    )
                connection.execute(text)
            with psycopg.connect(admin.url, autocommit=True) as connection:
                make_role(connection, APPLICATION)
                connection.execute(f"GRANT drip_engine TO {APPLICATION}".encode())

        give_rights()

        def opened(name: str) -> Database:
            return Database(with_port(as_user(admin.url, name, PASSWORD), port) + options)

        yield FirstCampaign(lambda: opened(owner), lambda: opened(user), folder), give_rights


def _script(name: str) -> bytes:
    return (CHECKOUT / "deploy" / "postgres" / name).read_text(encoding="utf-8").encode()


def make_role(connection: psycopg.Connection, name: str) -> None:
    """Create a login role with the password of the fixtures, if the server does not have it."""
    statement = sql.SQL(_MAKE_ROLE).format(name=sql.Identifier(name), password=PASSWORD)
    connection.execute(statement)


def servers() -> dict[str, Path | None]:
    """Folders of programs by label; None is the packaged server."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folders += [Path(name) for name in os.environ.get("POSTGRES_BINS", "").split(":") if name]
    return {"packaged": None} | {str(folder): folder for folder in folders}


@contextmanager
def accesses(server_url: str) -> Iterator[dict[str, int]]:
    """Yield the ports of the server and of poolers before it, by name."""
    users = dict.fromkeys((PLAIN, APPLICATION, *SUPABASE_OWNERS), PASSWORD)
    with ExitStack() as stack:
        ports = {"direct": int(server_url.rpartition(":")[2].partition("/")[0])}
        if program():
            for mode in ("transaction", "session"):
                sessions = 4 if mode == "transaction" else 40
                entered = stack.enter_context(
                    pgbouncer(server_url, mode, users=users, sessions=sessions)
                )
                ports[f"PgBouncer {mode}"] = entered
        else:
            ports["proxy"] = stack.enter_context(transaction_proxy(server_url)).port
        yield ports


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run all combinations, and print the table."""
    is_broken = False
    _show("| PostgreSQL | access | schema | roles | result |\n|---|---|---|---|---|")
    for folder in servers().values():
        with tempfile.TemporaryDirectory(prefix="drip-matrix-") as home:
            Path(home).chmod(0o755)
            server = EmbeddedServer(
                Path(home), postgres_bin=folder, overrides=OVERRIDES | {"max_connections": "200"}
            )
            try:
                url = server.ensure_running()
                with psycopg.connect(url) as connection:
                    version = connection.info.parameter_status("server_version")
                with accesses(url) as ports:
                    for access, port in ports.items():
                        for schema in SCHEMAS:
                            for roles in ROLES:
                                result = run_cell(url, port, schema=schema, roles=roles)
                                is_broken |= bool(result.problem) and not result.is_refused
                                line = (version, access, schema, roles, result)
                                _show(f"| {' | '.join(map(str, line))} |")
            finally:
                server.stop()
    return int(is_broken)


if __name__ == "__main__":
    sys.exit(main())
