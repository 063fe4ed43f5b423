"""The people of a simulation: from a file, or made up with values that the campaign compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from drip_pipeline.domain.conditions.comparisons import Operator, as_number
from drip_pipeline.domain.conditions.conditions import Condition, ConditionType
from drip_pipeline.domain.conditions.field_names import field_name
from drip_pipeline.domain.contact_fields import ALIASES, CONTACT_COLUMNS
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import ConditionConfig, SplitConfig
from drip_pipeline.domain.run_variables import ENTRY, variable_of
from drip_pipeline.engine.contacts.column_mapping import plan_columns
from drip_pipeline.engine.contacts.column_types import kinds_of
from drip_pipeline.engine.contacts.file_formats import open_contact_file
from drip_pipeline.engine.contacts.row_parser import RowReader
from drip_pipeline.engine.simulation.simulate import SimulatedPerson

FIRST_NAMES: Final = ("Ann", "Bob", "Cid", "Dee", "Eli", "Fay", "Gus", "Ida", "Jon", "Kay")
LAST_NAMES: Final = ("Archer", "Brook", "Carter", "Dale", "Ellis", "Ford", "Grant", "Hill")
ZONES: Final[Mapping[str, float]] = {
    "Europe/London": 0.2,
    "Europe/Berlin": 0.3,
    "America/New_York": 0.25,
    "America/Los_Angeles": 0.15,
    "Asia/Tokyo": 0.1,
}
STATUSES: Final = ("lead", "prospect", "customer")
TAGGED: Final = 0.3
"""Share of the made-up people with a tag that a condition names."""
_HIGHEST_SCORE: Final = 100


def made_up(
    graph: CampaignGraph, number: int, *, seed: int, now: datetime
) -> list[SimulatedPerson]:
    """Return made-up people; the same seed gives the same people.

    Scores are even from 0 to 100, 30 % have each tag that a condition names, and a field has one of
    the values that it is compared with, or another one, with the same chance.
    """
    tags, fields = _compared(graph)
    random = Random(seed)
    zones, weights = list(ZONES), list(ZONES.values())
    namespace = uuid5(NAMESPACE_URL, f"simulated people {seed}")
    population = []
    for n in range(number):
        row: dict[str, Any] = {
            "name": f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}",
            "email": f"person{n}@example.com",
            "phone": f"+49170{n:07}",
            "company": f"Company {random.randrange(1_000)}",
            "ai_score": random.randint(0, _HIGHEST_SCORE),
            "status": random.choice(STATUSES),
            "tags": [tag for tag in tags if random.random() < TAGGED],
            "created_at": now - timedelta(days=random.randrange(1, 730)),
        }
        custom: dict[str, Any] = {"timezone": random.choices(zones, weights)[0]}
        entry: dict[str, Any] = {}
        for name, values in fields.items():
            value = random.choice(values)
            if variable_of(name) == ENTRY:
                entry[name.partition(".")[2]] = value
            elif name in CONTACT_COLUMNS:
                row[name] = value
            else:
                custom[name] = value
        contact_id = uuid5(namespace, str(n))
        row["custom_fields"] = custom
        population.append(SimulatedPerson(contact_id, run_id_of(contact_id), row, entry or None))
    return population


def run_id_of(contact_id: UUID) -> UUID:
    """Return the id of the simulated run of a contact."""
    return uuid5(contact_id, "simulated run")


def from_file(path: Path, *, now: datetime) -> tuple[list[SimulatedPerson], dict[str, int]]:
    """Return the people of a CSV or Parquet file, read as `drip contacts import` reads it, and the
    numbers of rows that cannot be used, by reason.

    People who refuse messages are among the latter. Raises ImportFileError.
    """
    file = open_contact_file(path)
    plan = plan_columns(file, {}, None, None)
    reader = RowReader(plan, kinds_of(file, plan), is_typed=file.is_typed)
    population: list[SimulatedPerson] = []
    refused: dict[str, int] = {}
    seen: set[str] = set()
    for number, (line, cells) in enumerate(file.lines(), start=1):
        contact = cells if isinstance(cells, str) else reader.read(line, number, cells)
        reason = None
        if isinstance(contact, str):
            reason = contact
        elif contact.is_unsubscribed or contact.email_refusal:
            reason = contact.email_refusal or "unsubscribed"
        elif contact.email in seen:
            reason = "repeated_address"
        if reason is not None:
            refused[reason] = refused.get(reason, 0) + 1
            continue
        assert not isinstance(contact, str)
        seen.add(contact.email)
        row = {
            "name": contact.name,
            "email": contact.email,
            "company": contact.company,
            "phone": contact.phone,
            "job_title": contact.job_title,
            "ai_score": contact.ai_score,
            "status": contact.status,
            "tags": contact.tags or [],
            "custom_fields": orjson.loads(contact.custom_fields),
            "last_interaction": contact.last_interaction,
            "created_at": now,
        }
        contact_id = uuid5(NAMESPACE_URL, contact.email)
        population.append(SimulatedPerson(contact_id, run_id_of(contact_id), row))
    return population, refused


# --- values that a campaign compares --------------------------------------------------------------


def _compared(graph: CampaignGraph) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the tags that conditions name, and by field the values for made-up people."""
    tags: dict[str, None] = {}
    fields: dict[str, list[Any]] = {}
    for part in _conditions(graph):
        if part.type is ConditionType.TAG:
            values = part.value if isinstance(part.value, tuple) else (part.value,)
            tags.update(dict.fromkeys(str(value) for value in values))
        elif part.type is ConditionType.FIELD:
            name = field_name(part.field or "")
            if name not in ALIASES and name not in _NOT_MADE_UP:
                fields.setdefault(name, []).extend(_values(part))
    for node in graph.nodes.values():
        if isinstance(node.config, SplitConfig) and node.config.from_field:
            values_of_split = list(node.config.variant_by_value())
            fields.setdefault(field_name(node.config.from_field), []).extend(values_of_split)
    return list(tags), {name: values for name, values in fields.items() if values}


_NOT_MADE_UP: Final = frozenset({"tags", "id", "workspace_id", "email", "ai_score", "timezone"})


def _values(part: Condition) -> list[Any]:
    value = part.value
    if isinstance(value, tuple):
        return [*value, "another"]
    number = as_number(value)
    if number is not None and not isinstance(value, bool):
        return [number, number - 1, number + 1, number * 2]
    if isinstance(value, (str, bool)):
        return [value, "another" if isinstance(value, str) else not value]
    return [None, "a value"] if part.operator in _OF_EMPTINESS else []


_OF_EMPTINESS: Final = (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY)


def _conditions(graph: CampaignGraph) -> Iterator[Condition]:
    for node in graph.nodes.values():
        if isinstance(node.config, ConditionConfig):
            for branch in node.config.branches:
                if branch.condition is not None:
                    yield from _parts(branch.condition)


def _parts(condition: Condition) -> Iterator[Condition]:
    yield condition
    for part in condition.sub_conditions or ():
        yield from _parts(part)
