"""Find the contact that a command means: by id, or by address."""

from __future__ import annotations

from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.explanations import one_person as person_db
from drip_pipeline.db.explanations.one_person import FoundContact, PersonRow
from drip_pipeline.domain.addresses import Unusable, clean, parse_phone
from drip_pipeline.errors import NotAllowed


def find_person(
    connection: Connection, who: str, workspace: str | None = None
) -> tuple[FoundContact, list[PersonRow]]:
    """Return the contact with this id or address, and the others of its workspace that have the
    address in another spelling.

    Raises NotAllowed if there is none, or if contacts of several workspaces have the address.
    """
    contact_id, email = _id_or_address(who)
    rows = person_db.find(connection, contact_id, email, workspace)
    if not rows:
        what = "this id" if contact_id else "this address"
        where = f"workspace {workspace!r}" if workspace else "the database"
        raise NotAllowed(
            f"no contact of {where} has {what}",
            hint="`drip contacts import FILE` adds contacts; `drip workspace list` shows the"
            " workspaces.",
        )
    if len({contact.row.workspace_id for contact in rows}) > 1:
        names = ", ".join(dict.fromkeys(repr(contact.row.workspace) for contact in rows))
        raise NotAllowed(
            f"contacts of several workspaces have this address: {names}",
            hint="Name one with --workspace.",
        )
    return rows[0], [contact.row for contact in rows[1:]]


def addresses_of(person: PersonRow) -> list[str]:
    """Return the addresses that suppressions of a contact may have: email, and the phone number as
    written and in E.164 form."""
    number = phone_of(person)
    return [text for text in (person.email, person.phone, number) if text]


def phone_of(person: PersonRow) -> str | None:
    """Return the phone number of a contact in E.164 form; None without a readable one."""
    number = parse_phone(person.phone, person.region) if person.phone else None
    return None if isinstance(number, Unusable) else number


def _id_or_address(who: str) -> tuple[UUID | None, str | None]:
    try:
        return UUID(who.strip()), None
    except ValueError:
        return None, clean(who)
