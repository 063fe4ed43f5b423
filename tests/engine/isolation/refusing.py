"""Triggers of an application that refuse the rows of one contact, at once or at the commit."""

from __future__ import annotations

from uuid import UUID

from psycopg import sql

from drip_pipeline.db.connection import Connection

KINDS = ("at once", "at the commit")


def refuse_rows(
    connection: Connection,
    table: str,
    contact_id: UUID,
    kind: str,
    *,
    of: str = "new.contact_id",
    when: str = "true",
) -> None:
    """Refuse inserts and updates of the contact's rows in a table, with an error."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
    )
    kinds = {
        "at once": "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {0} FOR EACH ROW",
        "at the commit": (
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON {0}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        ),
    }
    statement = kinds[kind] + f" WHEN ({of} = {{1}} AND {when}) EXECUTE FUNCTION refuse()"
    connection.execute(sql.SQL(statement).format(sql.Identifier(table), sql.Literal(contact_id)))
