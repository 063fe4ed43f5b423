"""Parse the body of a trigger webhook call into contacts, or reasons for rejected ones.

Fields have the same meaning as the columns of an imported file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drip_pipeline.db.contacts.contacts import RejectedCell, StagedContact
from drip_pipeline.domain.addresses import canonical_email
from drip_pipeline.domain.run_variables import JsonObject, data_problem
from drip_pipeline.engine.contacts.column_mapping import plan_columns
from drip_pipeline.engine.contacts.contact_file import Line, LineCounts
from drip_pipeline.engine.contacts.row_parser import RowReader
from drip_pipeline.errors import ImportFileError, NotAllowed

MOST_CONTACTS: Final = 1_000
_CALL_KEYS: Final = frozenset({"people", "entry_key", "idempotency_key", "data"})
_CONTACT_KEYS: Final = frozenset({"email", "fields", "entry_key", "data"})
_LONGEST_KEY: Final = 200
_MOST_FIELDS: Final = 200


class CallInvalid(NotAllowed):
    """The body of the call is invalid."""

    default_hint = (
        'Send {"email": …, "fields": {…}, "data": {…}, "entry_key": …}, or {"people": [such'
        " objects]}."
    )


@dataclass(frozen=True, slots=True)
class WebhookContacts:
    """The contacts of a call. Each address occurs once.

    `rows` are numbered by their position in the call (from 1), `keys` maps these numbers to entry
    keys and `data` to entry data, `problems` are rejected contacts as (position from 0, reason).
    `set_aside` are fields of accepted contacts that cannot be read. `call_key` is the idempotency
    key.
    """

    rows: Sequence[StagedContact]
    keys: Mapping[int, str]
    problems: Sequence[tuple[int, str]]
    call_key: str | None
    set_aside: Sequence[RejectedCell] = ()
    data: Mapping[int, JsonObject] = field(default_factory=dict)


def read_webhook_contacts(body: object, region: str | None = None) -> WebhookContacts:
    """Parse the JSON of a call. `region` is the country of phone numbers without a country code.

    Raises CallInvalid for errors of the call as a whole.
    """
    call, members = _members(body)
    if not members:
        raise CallInvalid("the call has no contacts")
    if len(members) > MOST_CONTACTS:
        raise CallInvalid(
            f"the call has more than {MOST_CONTACTS:,} contacts", hint="Send several calls."
        )
    problems: dict[int, str] = {}
    contacts: dict[int, dict[str, object]] = {}
    keys: dict[int, str] = {}
    data: dict[int, JsonObject] = {}
    common_key = _key(call.get("entry_key"), "entry_key")
    common_data = _data(call.get("data"))
    for position, member in enumerate(members):
        try:
            fields, own_key = _fields(member)
            key = own_key or common_key
            data[position + 1] = _entry_data(member, common_data)
        except CallInvalid as invalid:
            problems[position] = str(invalid)
            continue
        contacts[position] = fields
        if key is not None:
            keys[position + 1] = key
    rows, set_aside = _rows(contacts, problems, region)
    return WebhookContacts(
        rows=rows,
        keys={row.line_number: keys[row.line_number] for row in rows if row.line_number in keys},
        problems=sorted(problems.items()),
        call_key=_key(call.get("idempotency_key"), "idempotency_key"),
        set_aside=set_aside,
        data=data,
    )


def _members(body: object) -> tuple[Mapping[str, object], Sequence[object]]:
    """Return the call without its contacts, and the contacts, unparsed."""
    if isinstance(body, list):
        return {}, body
    if not isinstance(body, dict):
        raise CallInvalid("the call's body is not a JSON object")
    if "people" not in body:
        member = {name: value for name, value in body.items() if name != "idempotency_key"}
        return {"idempotency_key": body.get("idempotency_key")}, [member]
    if unknown := sorted(set(body) - _CALL_KEYS):
        raise CallInvalid(f"the call has an unknown key: {unknown[0]!r}")
    if not isinstance(body["people"], list):
        raise CallInvalid("`people` is not a list")
    return body, body["people"]


def _fields(member: object) -> tuple[dict[str, object], str | None]:
    """Return the fields of a contact, with `email`, and its entry key. Raises CallInvalid."""
    if not isinstance(member, dict):
        raise CallInvalid("is not a JSON object")
    if unknown := sorted(set(member) - _CONTACT_KEYS):
        raise CallInvalid(f"has an unknown key: {unknown[0]!r} (contact fields belong in `fields`)")
    fields = member.get("fields")
    if fields is None:
        fields = {}
    if not isinstance(fields, dict) or len(fields) > _MOST_FIELDS:
        raise CallInvalid("`fields` is not a JSON object, or too large")
    entry_key = _key(member.get("entry_key"), "entry_key")
    return {**fields, "email": member.get("email")}, entry_key


def _entry_data(member: object, common: JsonObject | None) -> JsonObject:
    """Return the entry data of a contact: `data` of the call and its own, or its fields if there is
    none and they are not too large. Raises CallInvalid.
    """
    assert isinstance(member, dict)
    own = _data(member.get("data"))
    if own is None and common is None:
        fields = member.get("fields") or {}
        return {} if data_problem(fields) else fields
    return _data({**(common or {}), **(own or {})}) or {}


def _data(value: object) -> JsonObject | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CallInvalid("`data` is not a JSON object")
    problem = data_problem(value)
    if problem is not None:
        raise CallInvalid(f"`data` cannot be entry data: {problem}")
    return value


def _key(value: object, name: str) -> str | None:
    if value is None:
        return None
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    if not text or len(text) > _LONGEST_KEY or not text.isprintable():
        raise CallInvalid(f"`{name}` is not a text of at most {_LONGEST_KEY} characters")
    return text


@dataclass(frozen=True, slots=True)
class _PayloadTable:
    """The contacts as a file with a column for each field."""

    columns: Sequence[str]
    path: Path = Path("the call")
    is_typed: bool = True
    notes: Sequence[str] = ()
    unsupported: dict[int, str] = field(default_factory=dict)
    line_counts: LineCounts | None = None

    def lines(self) -> Iterator[Line]:
        return iter(())


def _rows(
    contacts: Mapping[int, Mapping[str, object]], problems: dict[int, str], region: str | None
) -> tuple[list[StagedContact], list[RejectedCell]]:
    if not contacts:
        return [], []
    columns = list(dict.fromkeys(name for fields in contacts.values() for name in fields))
    try:
        plan = plan_columns(_PayloadTable(columns), {})
    except ImportFileError as error:
        raise CallInvalid(str(error)) from None
    reader = RowReader(plan, {}, is_typed=True, region=region)
    by_address: dict[str, StagedContact] = {}
    for position, fields in contacts.items():
        row = reader.read(position + 1, position + 1, [fields.get(name) for name in columns])
        if isinstance(row, str):
            problems[position] = row
            continue
        address = canonical_email(row.email)
        if address in by_address:
            problems[position] = "repeated_email"
            by_address[address] = _with_refusals(by_address[address], row)
        else:
            by_address[address] = row
    return list(by_address.values()), reader.set_aside


def _with_refusals(kept: StagedContact, repeated: StagedContact) -> StagedContact:
    """Return the kept row; it refuses messages if the repeated one does."""
    sms = [numbers for numbers in (kept.sms_refusals, repeated.sms_refusals) if numbers is not None]
    return kept._replace(
        is_unsubscribed=kept.is_unsubscribed or repeated.is_unsubscribed,
        email_refusal=kept.email_refusal or repeated.email_refusal,
        sms_refusals=[number for numbers in sms for number in numbers] if sms else None,
    )
