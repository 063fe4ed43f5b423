"""The people in a call of a trigger webhook: read, each with the reason where it cannot be taken.
Fields mean what the columns of an imported file mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from drip_pipeline.db.contacts.contacts import StagedContact
from drip_pipeline.engine.contacts.column_mapping import plan_columns
from drip_pipeline.engine.contacts.row_parser import RowReader
from drip_pipeline.errors import ImportFileError, NotAllowed

MOST_PEOPLE: Final = 1_000
_OF_A_CALL: Final = frozenset({"people", "entry_key", "idempotency_key"})
_OF_A_PERSON: Final = frozenset({"email", "fields", "entry_key"})
_LONGEST_KEY: Final = 200
_MOST_FIELDS: Final = 200


class CallInvalid(NotAllowed):
    """A call whose body is not what it must be."""

    default_hint = (
        'Send {"email": …, "fields": {…}, "entry_key": …}, or {"people": [such objects]}.'
    )


@dataclass(frozen=True, slots=True)
class WebhookContacts:
    """`rows` are people by their place in the call (from 1), each address once; `keys` the entry
    keys of places that have one; `problems` (place from 0, reason) are those that cannot be taken.
    """

    rows: Sequence[StagedContact]
    keys: Mapping[int, str]
    problems: Sequence[tuple[int, str]]
    call_key: str | None


def read_webhook_contacts(body: Any) -> WebhookContacts:
    """The people of a call's JSON. Raises CallInvalid for what is wrong with it as a whole."""
    call, listed = _listed(body)
    if not listed:
        raise CallInvalid("the call names nobody")
    if len(listed) > MOST_PEOPLE:
        raise CallInvalid(f"the call names more than {MOST_PEOPLE:,} people", hint="Send several.")
    problems: dict[int, str] = {}
    people: dict[int, dict[str, Any]] = {}
    keys: dict[int, str] = {}
    common_key = _key(call.get("entry_key"), "entry_key")
    for place, person in enumerate(listed):
        try:
            people[place] = _fields(person)
            key = _key(person.get("entry_key"), "entry_key") or common_key
        except CallInvalid as invalid:
            people.pop(place, None)
            problems[place] = str(invalid)
            continue
        if key is not None:
            keys[place + 1] = key
    rows = _rows(people, problems)
    return WebhookContacts(
        rows=rows,
        keys={row[0]: keys[row[0]] for row in rows if row[0] in keys},
        problems=sorted(problems.items()),
        call_key=_key(call.get("idempotency_key"), "idempotency_key"),
    )


def _listed(body: Any) -> tuple[Mapping[str, Any], Sequence[Any]]:
    if isinstance(body, list):
        return {}, body
    if not isinstance(body, dict):
        raise CallInvalid("the call's body is no JSON object")
    if "people" not in body:
        person = {name: value for name, value in body.items() if name != "idempotency_key"}
        return {"idempotency_key": body.get("idempotency_key")}, [person]
    if unknown := sorted(set(body) - _OF_A_CALL):
        raise CallInvalid(f"the call has a key that nobody reads: {unknown[0]!r}")
    if not isinstance(body["people"], list):
        raise CallInvalid("`people` is no list")
    return body, body["people"]


def _fields(person: Any) -> dict[str, Any]:
    if not isinstance(person, dict):
        raise CallInvalid("is no JSON object")
    if unknown := sorted(set(person) - _OF_A_PERSON):
        raise CallInvalid(
            f"has a key that nobody reads: {unknown[0]!r} (contact fields go into `fields`)"
        )
    fields = person.get("fields")
    if fields is None:
        fields = {}
    if not isinstance(fields, dict) or len(fields) > _MOST_FIELDS:
        raise CallInvalid("`fields` is no JSON object, or too large")
    return {**fields, "email": person.get("email")}


def _key(value: Any, name: str) -> str | None:
    if value is None:
        return None
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    if not text or len(text) > _LONGEST_KEY or not text.isprintable():
        raise CallInvalid(f"`{name}` is no text of up to {_LONGEST_KEY} characters")
    return text


@dataclass(frozen=True, slots=True)
class _Table:
    """The people as the rows of a file that has a column for every field."""

    columns: Sequence[str]
    path: Path = Path("the call")
    is_typed: bool = True

    def lines(self) -> Iterator[Any]:
        return iter(())


def _rows(people: Mapping[int, Mapping[str, Any]], problems: dict[int, str]) -> list[StagedContact]:
    if not people:
        return []
    columns = list(dict.fromkeys(name for fields in people.values() for name in fields))
    try:
        plan = plan_columns(_Table(columns), {})
    except ImportFileError as error:
        raise CallInvalid(str(error)) from None
    reader = RowReader(plan, {}, is_typed=True)
    by_address: dict[str, StagedContact] = {}
    for place, fields in people.items():
        row = reader.read(place + 1, place + 1, [fields.get(name) for name in columns])
        if isinstance(row, str):
            problems[place] = row
        elif row[1] in by_address:
            problems[place] = "repeated_email"
        else:
            by_address[row[1]] = row
    return list(by_address.values())
