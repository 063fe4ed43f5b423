"""Addresses that were suppressed when they were erased: only a keyed hash is stored of them.

When such an address comes back, it is suppressed again: at once by an import, and before its first
message otherwise (delivery/erased_check.py).
The hash is HMAC-SHA256 of the workspace and the address, with a key derived from DRIP_SECRET_KEY:
without the key, nobody can try addresses out. Workspaces without erased suppressions cost nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.contacts import erased_suppressions as erased_db
from drip_pipeline.db.contacts.erased_suppressions import ContactAddresses, HashedAddress
from drip_pipeline.domain.addresses import canonical_email, parse_phone
from drip_pipeline.settings import Secret, Settings

RULE: Final = "erased_suppressions"
"""The rule of a workspace that has hashes: the eligibility check looks them up."""
_PURPOSE: Final = b"drip erased address v1\x00"
_CHECKED_SECONDS: Final = 30.0
_KEY_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class ErasureKeys:
    """The key of new hashes, and former keys whose hashes still count."""

    current: Secret
    former: tuple[Secret, ...] = ()
    _derived: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive the keys of the hashes."""
        derived = tuple(
            hmac.digest(secret.reveal().encode(), _PURPOSE, "sha256")
            for secret in (self.current, *self.former)
        )
        object.__setattr__(self, "_derived", derived)

    @classmethod
    def of(cls, settings: Settings) -> ErasureKeys:
        """Return the keys of the settings."""
        return cls(settings.signing_key(), settings.former_secret_keys)

    @property
    def key_id(self) -> str:
        """The name of the current key; it says nothing about the key itself."""
        return hashlib.sha256(b"key id\x00" + self._derived[0]).hexdigest()[:_KEY_ID_CHARACTERS]

    def hash(self, workspace_id: UUID, address: str) -> bytes:
        """Return the hash of an address, in the form in which addresses are compared."""
        return self._hashes(workspace_id, address, self._derived[:1])[0]

    def hashes(self, workspace_id: UUID, address: str) -> list[bytes]:
        """Return the hashes of an address by all keys."""
        return self._hashes(workspace_id, address, self._derived)

    def _hashes(self, workspace_id: UUID, address: str, keys: Sequence[bytes]) -> list[bytes]:
        text = workspace_id.bytes + address.encode()
        return [hmac.digest(key, text, "sha256") for key in keys]


def restore(connection: Connection, keys: ErasureKeys, contacts: Iterable[ContactAddresses]) -> int:
    """Suppress those of these contacts again whose addresses were suppressed when they were erased.
    Return the number of suppressions."""
    rows = [
        HashedAddress(contact.workspace_id, contact.contact_id, address, address_hash)
        for contact in contacts
        for address in _spellings(contact)
        for address_hash in keys.hashes(contact.workspace_id, address)
    ]
    return erased_db.restore(connection, rows) if rows else 0


def _spellings(contact: ContactAddresses) -> set[str]:
    """Return the addresses of a contact; a phone number also with its country code."""
    spellings = {address for address in (contact.email, contact.phone) if address}
    if contact.phone and not contact.phone.startswith("+"):
        number = parse_phone(contact.phone, contact.region)
        if isinstance(number, str):
            spellings.add(number)
    return spellings


def restore_imported(
    connection: Connection,
    keys: ErasureKeys | None,
    workspace_id: UUID,
    *,
    first_line: int,
    last_line: int,
) -> int:
    """Do the same for the contacts of staged lines that were merged. Without keys, the eligibility
    check does it."""
    if keys is None or not erased_db.has_any(connection, workspace_id):
        return 0
    return restore(
        connection,
        keys,
        erased_db.imported_addresses(
            connection, workspace_id, first_line=first_line, last_line=last_line
        ),
    )


def lift_erased(
    connection: Connection,
    keys: ErasureKeys,
    workspace_id: UUID,
    addresses: Iterable[str],
    channel: str | None,
) -> int:
    """Forget that these addresses were suppressed when they were erased. Return the number of
    suppressions."""
    hashes = [
        address_hash
        for address in addresses
        for spelling in {canonical_email(address), address}
        for address_hash in keys.hashes(workspace_id, spelling)
    ]
    return erased_db.lift(connection, workspace_id, hashes, channel) if hashes else 0


class _Checked:
    """Whether contacts were erased, and when this process looked, by database."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.at: dict[str, tuple[float, bool]] = {}


_checked: Final = _Checked()


def erase_arrivals(connection: Connection) -> None:
    """Take out of the events of a chunk what would identify erased persons again.

    Without erased contacts, it costs a query in half a minute.
    """
    database = connection.info.dsn
    with _checked.lock:
        looked_at, has_erasures = _checked.at.get(database, (None, False))
    if looked_at is None or (not has_erasures and monotonic() - looked_at >= _CHECKED_SECONDS):
        has_erasures = erased_db.has_erasures(connection)
        with _checked.lock:
            _checked.at[database] = (monotonic(), has_erasures)
    if has_erasures:
        erased_db.erase_arrivals(connection)


def forget() -> None:
    """Look again, because contacts were erased by this process."""
    with _checked.lock:
        _checked.at.clear()
