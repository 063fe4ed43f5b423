"""Which workspace a command is about: the named one, the only one, or a new one."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from drip_pipeline.db import publish as publish_db
from drip_pipeline.db.connection import Connection
from drip_pipeline.errors import NotAllowed

DEFAULT_WORKSPACE: Final = "default"


def workspace_named(connection: Connection, name: str | None) -> UUID:
    """The workspace of that name, made if there is none; without a name the only one there is, or a
    new one called `default`.

    Raises NotAllowed when several could be meant.
    """
    found = publish_db.workspaces(connection, name)
    if len(found) == 1:
        only: UUID = found[0]["id"]
        return only
    if not found:
        return publish_db.insert_workspace(connection, name or DEFAULT_WORKSPACE)
    if name is not None:
        raise NotAllowed(
            f"{len(found)} workspaces are named {name!r}", hint="Rename one of them first."
        )
    names = ", ".join(repr(row["name"]) for row in found[:5])
    raise NotAllowed(
        f"there are several workspaces: {names}{', …' if len(found) > 5 else ''}",
        hint="Name one with --workspace.",
    )
