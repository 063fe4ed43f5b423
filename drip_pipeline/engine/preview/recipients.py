"""The people of a preview: contacts of the workspace, and made-up ones for what none shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from drip_pipeline.db.contacts.preview import PreviewContact
from drip_pipeline.db.delivery.deliveries import CONTACT_COLUMNS, LeasedDelivery
from drip_pipeline.domain.contact_fields import CAMPAIGN_VARIABLES, CUSTOM_FIELDS
from drip_pipeline.domain.identity import id_of_test_message
from drip_pipeline.domain.run_variables import ENTRY, EVENT, RUN_VARIABLES, VARS
from drip_pipeline.domain.templates.sample_values import sample, shapes, values_for, with_path
from drip_pipeline.domain.templates.traced_templates import TracedTemplate
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion

_NAMES: Final = (
    ("Ann Archer", "ann"),
    ("Seán O'Brien", "sean"),
    ("Zoë Müller-Lüdenscheidt", "zoe"),
    ("李小龍", "li"),
    ("Cher", "cher"),
    ("Łukasz Żółć", "lukasz"),
    ("محمد علي", "muhammad"),
    ("Nguyễn Thị Minh Khai", "nguyen"),
    ("BOB MILLER", "bob"),
    ("Tom & Jerry <Ltd>", "tom"),
)
"""Names that show what goes wrong with names: accents, other scripts, one word, capitals, marks."""
_TIMES: Final = frozenset({"last_interaction", "created_at", "updated_at"})
_COLUMN_OF: Final = {"company_name": "company", "lead_score": "ai_score"}
_FIXED: Final = CAMPAIGN_VARIABLES | {"id", "workspace_id", "status", "email"}


@dataclass(frozen=True, slots=True)
class Person:
    """A person who looks at the messages. `contact` maps columns of contacts to values, `why` says
    what the person shows. `label` is an address, or what was made up."""

    id: UUID
    label: str
    contact: Mapping[str, Any]
    entry: Mapping[str, Any] | None = None
    event: Mapping[str, Any] | None = None
    vars: Mapping[str, Any] | None = None
    is_made_up: bool = False
    why: tuple[str, ...] = ()

    def shows(self, *why: str) -> Person:
        """Return the person with further reasons to show it."""
        return replace(self, why=tuple(dict.fromkeys((*self.why, *why))))

    def delivery(
        self, version: PublishedVersion, node_id: str, now: datetime, message_id: UUID | None = None
    ) -> LeasedDelivery:
        """Return a delivery of a node to this person, as the outbox would lease it.

        Its id, by default derived from the person and the node, is that of a test message.
        """
        stored = {EVENT: self.event, VARS: self.vars}
        source = message_id or uuid5(self.id, f"{version.campaign_id}:{version.version}:{node_id}")
        columns = {name: self.contact.get(name) for name in CONTACT_COLUMNS}
        return LeasedDelivery(
            id=id_of_test_message(source),
            workspace_id=version.workspace_id,
            campaign_id=version.campaign_id,
            campaign_version=version.version,
            enrollment_id=self.id,
            contact_id=self.id,
            node_id=node_id,
            step_id=None,
            attempts=0,
            due_at=now,
            blocked_reason=None,
            caps=None,
            personalization_data=self.entry or None,
            workflow_variables={k: v for k, v in stored.items() if v} or None,
            **columns,
        )


def person_of(row: PreviewContact) -> Person:
    """Return a contact as a person of a preview."""
    stored = row.workflow_variables or {}
    contact = {name: getattr(row, name) for name in CONTACT_COLUMNS}
    return Person(
        row.id,
        row.email or str(row.id),
        contact,
        row.personalization_data,
        _object(stored.get(EVENT)),
        _object(stored.get(VARS)),
    )


def with_data(
    person: Person,
    templates: Sequence[TracedTemplate],
    data: Mapping[str, Any] | None,
    *,
    is_entered_by_event: bool,
) -> Person:
    """Return a person with entry data: the given one, the stored one, or samples of what the texts
    read."""
    samples = {name: _sampled(name, templates) for name in (ENTRY, EVENT, VARS)}
    entry = data if data is not None else person.entry or samples[ENTRY]
    event = person.event or (None if is_entered_by_event and entry else samples[EVENT])
    return replace(
        person, entry=entry or None, event=event or None, vars=person.vars or samples[VARS]
    )


def made_up(
    templates: Sequence[TracedTemplate],
    now: datetime,
    languages: Sequence[str] = (),
) -> list[Person]:
    """Return made-up people: one with usual values, one without any, one with the longest, one for
    every language, people with difficult names, then those for the branches of the texts.

    The values are the same on every call.
    """
    usual = shapes(templates)
    recipients = [
        _person("usual values", usual, now, 0),
        _person("no values", {}, now, 1, is_empty=True),
        _person("long values", {p: _long(p, v) for p, v in usual.items()}, now, 2, is_long=True),
    ]
    recipients += [
        _person(f"language {each}", usual | {"language": each}, now, 0) for each in languages
    ]
    plain = {
        path: v for path, v in usual.items() if path not in ("name", "first_name", "last_name")
    }
    recipients += [
        _person(f"the name {name}", plain, now, n) for n, (name, _) in enumerate(_NAMES) if n
    ]
    for template in templates:
        for branch in template.branches:
            label = f"for {branch.label}"
            recipients.append(_person(label, usual | values_for(branch), now, 0))
            recipients.append(_person(label, values_for(branch), now, 1, is_empty=True))
    return recipients


def _person(
    label: str,
    values: Mapping[str, object],
    now: datetime,
    number: int,
    *,
    is_empty: bool = False,
    is_long: bool = False,
) -> Person:
    name, address = _NAMES[number % len(_NAMES)]
    custom: dict[str, Any] = {}
    run: dict[str, Any] = {}
    contact: dict[str, Any] = {"email": f"{address}@example.com", "tags": [], CUSTOM_FIELDS: custom}
    if not is_empty:
        contact |= {
            "name": sample("name", is_long=True) if is_long else name,
            "company": sample("company", is_long=is_long),
            "job_title": sample("job_title", is_long=is_long),
            "phone": sample("phone"),
            "ai_score": 100 if is_long else 50,
            "status": "customer",
            "last_interaction": now - timedelta(days=3),
        }
        if is_long:
            contact["email"] = sample("email", is_long=True)
    contact |= {"phone": sample("phone"), "created_at": now - timedelta(days=30), "updated_at": now}
    for path, value in values.items():
        _set(contact, custom, run, path, value)
    return Person(
        uuid5(NAMESPACE_OID, f"drip preview {label}"),
        f"made up: {label}",
        contact,
        run.get(ENTRY),
        run.get(EVENT),
        run.get(VARS),
        is_made_up=True,
        why=(label,) if label in ("usual values", "no values", "long values") else (),
    )


def _set(
    contact: dict[str, Any],
    custom: dict[str, Any],
    run: dict[str, Any],
    path: str,
    value: object,
) -> None:
    """Set a variable of a template where its value is stored."""
    root, _, rest = path.partition(".")
    if root in RUN_VARIABLES:
        with_path(run, path, value)
    elif root == CUSTOM_FIELDS and rest:
        with_path(custom, rest, value)
    elif root in ("first_name", "last_name"):
        if value is None:
            contact["name"] = None
        elif contact.get("name") is None or str(value) not in str(contact["name"]):
            custom[root] = value
    elif root in _FIXED:
        if root == "status" and value:
            contact[root] = value
    elif root == "tags":
        contact[root] = value if isinstance(value, list) else [value] if value else []
    elif root in _TIMES:
        if value is None:
            contact[root] = None
    elif _COLUMN_OF.get(root, root) in CONTACT_COLUMNS:
        contact[_COLUMN_OF.get(root, root)] = value
    else:
        with_path(custom, path, value)


def _long(path: str, value: object) -> object:
    if isinstance(value, list):
        return value * 4
    return value if isinstance(value, (int, float)) else sample(path, is_long=True)


def _sampled(variable: str, templates: Sequence[TracedTemplate]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, value in shapes(templates).items():
        if path.startswith(f"{variable}."):
            with_path(values, path, value)
    own = values.get(variable)
    return own if isinstance(own, dict) else {}


def _object(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) and value else None
