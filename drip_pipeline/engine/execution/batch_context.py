"""What is known of the people of one batch: read once a batch, only what the graphs of the batch
name, and kept in step with the changes that the batch itself makes. Reading is done by `load`;
everything after it is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import batch_context as facts_db
from drip_pipeline.domain.conditions.conditions import ContactAttributes, Needs
from drip_pipeline.domain.contact_fields import contact_columns_for, reader_of
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.reachability import reach
from drip_pipeline.engine.execution.transitions import ContactChange, DueState, NodePosition

_NO_FIELDS: Mapping[str, Any] = {}
_NO_EVENTS: Mapping[str, datetime] = {}
_NO_TAGS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ExistingVariant:
    """A variant that somebody has; not by chance when a decision had routed them to it."""

    variant_id: str
    is_randomized: bool


@dataclass(frozen=True, slots=True)
class SplitTest:
    """The running or decided test of a split."""

    test_id: UUID
    split_node_id: str
    winner_variant: str | None


class BatchContext:
    """Facts by person. People without an entry have no facts loaded because no graph of theirs asks
    for any."""

    def __init__(
        self,
        now: datetime,
        *,
        contexts: dict[UUID, dict[str, Any]] | None = None,
        events: dict[UUID, dict[str, datetime]] | None = None,
        since: Mapping[UUID, datetime] | None = None,
        tests: Mapping[tuple[UUID, int, str], SplitTest] | None = None,
        variants: Mapping[str, Mapping[UUID, ExistingVariant]] | None = None,
    ) -> None:
        self._now = now
        self._contexts = contexts or {}
        self._events = events or {}
        self._since = since or {}
        self._tests = tests or {}
        self._variants = variants or {}

    def of(self, person: DueState) -> ContactAttributes:
        """The facts that a condition is evaluated on."""
        context = self._contexts.get(person.contact_id, _NO_FIELDS)
        zone = context.get("timezone")
        return ContactAttributes(
            context,
            context.get("tags") or _NO_TAGS,
            self._events.get(person.id, _NO_EVENTS) if self._events else _NO_EVENTS,
            self._now,
            zone if isinstance(zone, str) else None,
        )

    def happened_since_message(self, people: Sequence[DueState], event_type: str) -> set[UUID]:
        """States whose person did this since their latest message (or since they came here, without
        one)."""
        found = set()
        for person in people:
            latest = self._events.get(person.id, {}).get(event_type)
            since = self._since.get(person.id)
            if latest is not None and since is not None and latest >= since - EVENT_CLOCK_TOLERANCE:
                found.add(person.id)
        return found

    def test_of(self, person: DueState, split_node_id: str) -> SplitTest | None:
        """The test that this split belongs to in the person's version."""
        return self._tests.get((person.campaign_id, person.campaign_version, split_node_id))

    def existing_variants(self, split_node_id: str) -> Mapping[UUID, ExistingVariant]:
        """Variants already given at this split, by state id and by contact id."""
        return self._variants.get(split_node_id, {})

    def apply(self, change: ContactChange, people: Iterable[DueState]) -> None:
        """Keep loaded facts in step with a change that the batch makes, so that a condition behind
        an action sees it."""
        for person in people:
            context = self._contexts.get(person.contact_id)
            if context is not None:
                _apply(change, context)


def load(
    connection: Connection,
    people: Mapping[NodePosition, Sequence[DueState]],
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    now: datetime,
) -> BatchContext:
    """Read what must be known of people on the way that they can go in this batch. A few queries a
    batch, none a person."""
    contact_ids: set[UUID] = set()
    columns: set[str] = set()
    fields: set[str] = set()
    asking: list[DueState] = []
    waiting: list[DueState] = []
    splitting: list[DueState] = []
    event_types: set[str] = set()
    for place, group in people.items():
        graph = graphs[(place.campaign_id, place.campaign_version)]
        ahead = reach(graph, place.node_id, place.resume_port)
        wanted = _columns(ahead.needs)
        if wanted:
            columns |= wanted
            fields |= ahead.needs.fields
            contact_ids.update(person.contact_id for person in group)
        if ahead.needs.event_types or ahead.waits_for:
            asking += group
            event_types |= ahead.needs.event_types | ahead.waits_for
        if ahead.waits_for:
            waiting += group
        if ahead.has_split:
            splitting += group
    tests = _tests(connection, splitting) if splitting else {}
    return BatchContext(
        now,
        contexts=_contexts(connection, contact_ids, columns, fields) if contact_ids else None,
        events=_events(connection, asking, event_types) if asking else None,
        since=facts_db.look_back_from(connection, [p.id for p in waiting]) if waiting else None,
        tests=tests,
        variants=_variants(connection, splitting, tests) if splitting else None,
    )


def _columns(needs: Needs) -> set[str]:
    columns, reads_custom_fields = contact_columns_for(needs.fields)
    return (
        set(columns)
        | ({"custom_fields"} if reads_custom_fields else set())
        | ({"tags"} if needs.tags else set())
    )


def _contexts(
    connection: Connection, contact_ids: set[UUID], columns: set[str], fields: set[str]
) -> dict[UUID, dict[str, Any]]:
    # Columns too, for changes that go by them; and a path may be the whole name of a custom field.
    read = reader_of(columns | fields | {name.partition(".")[0] for name in fields})
    contexts = {}
    for row in facts_db.contact_facts(connection, list(contact_ids), columns):
        context = contexts[row["id"]] = read(row)
        if "tags" in row:
            context["tags"] = frozenset(row["tags"] or ())
    return contexts


def _events(
    connection: Connection, people: Sequence[DueState], event_types: set[str]
) -> dict[UUID, dict[str, datetime]]:
    found: dict[UUID, dict[str, datetime]] = {}
    for state_id, event_type, latest_at in facts_db.latest_events(
        connection, [p.id for p in people], [p.contact_id for p in people], sorted(event_types)
    ):
        mine = found.setdefault(state_id, {})
        if event_type not in mine or latest_at > mine[event_type]:
            mine[event_type] = latest_at
    return found


def _tests(
    connection: Connection, people: Sequence[DueState]
) -> dict[tuple[UUID, int, str], SplitTest]:
    campaign_ids = {person.campaign_id for person in people}
    return {
        (row["campaign_id"], version, row["split_node_id"]): SplitTest(
            row["id"], row["split_node_id"], row["winner_variant"]
        )
        for row in facts_db.running_tests(connection, list(campaign_ids))
        for version in row["campaign_versions"]
    }


def _variants(
    connection: Connection,
    people: Sequence[DueState],
    tests: Mapping[tuple[UUID, int, str], SplitTest],
) -> dict[str, dict[UUID, ExistingVariant]]:
    given: dict[str, dict[UUID, ExistingVariant]] = {}
    for owner, split_node_id, variant, is_randomized in facts_db.existing_variants(
        connection,
        [p.id for p in people],
        [p.contact_id for p in people],
        list({test.test_id for test in tests.values()}),
    ):
        given.setdefault(split_node_id, {})[owner] = ExistingVariant(variant, is_randomized)
    return given


def _apply(change: ContactChange, context: dict[str, Any]) -> None:
    match change.kind:
        case "tags":
            tags = context.get("tags", _NO_TAGS)
            context["tags"] = (tags | frozenset(change.add)) - frozenset(change.remove)
        case "score_delta":
            score = min(100, max(0, (context.get("ai_score") or 0) + change.value))
            context["ai_score"] = context["lead_score"] = score
        case "score_set":
            context["ai_score"] = context["lead_score"] = change.value
        case "column":
            text = None if change.value is None else str(change.value)
            context[change.name] = text
            if change.name == "company":
                context["company_name"] = text
        case "custom_field":
            context[change.name] = change.value
            custom = context.get("custom_fields", _NO_FIELDS)
            context["custom_fields"] = {**custom, change.name: change.value}
