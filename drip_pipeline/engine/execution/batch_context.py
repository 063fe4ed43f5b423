"""Contact attributes, events, tests and variants of one batch.

`load` reads them once per batch, only those that the batch's graphs refer to. Afterwards they are
kept in memory, in step with the changes that the batch itself makes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import batch_context as batch_context_db
from drip_pipeline.db.execution import followed_waits as followed_db
from drip_pipeline.db.execution.batch_context import ContactZone
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.db.unreadable import NESTED_TAGS, Unreadable
from drip_pipeline.domain.conditions.conditions import ContactAttributes, Needs
from drip_pipeline.domain.conditions.occurrences import Occurrence, RunPosition
from drip_pipeline.domain.conditions.time_zones import WORKSPACE_ZONE, effective_zone, zone_name
from drip_pipeline.domain.contact_fields import contact_columns_for, reader_of
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE, MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.local_times import CONTACT_ZONE, WORKSPACE_ZONE_NAME
from drip_pipeline.domain.graph.nodes import EventWait
from drip_pipeline.domain.graph.reachability import Reachability, reachability
from drip_pipeline.domain.graph.windows import QuietHours, Zones
from drip_pipeline.domain.run_variables import EVENT, NO_VARIABLES, VARS, JsonObject, RunVariables
from drip_pipeline.engine.campaigns.workspace_rules import WorkspaceRules
from drip_pipeline.engine.execution import run_variables, split_variants
from drip_pipeline.engine.execution.contact_changes import apply_change
from drip_pipeline.engine.execution.matched_events import (
    NO_MATCHED_EVENTS,
    MatchedEvents,
    first_matching,
    load_matched,
)
from drip_pipeline.engine.execution.split_variants import ExistingVariant, SplitTest
from drip_pipeline.engine.execution.transitions import (
    NO_SENT_MESSAGE,
    ContactChange,
    NodePosition,
    SentMessage,
)

Attributes: TypeAlias = dict[str, Any]
"""Values of a contact by name, as conditions refer to them."""

_NO_FIELDS: Mapping[str, Any] = {}
_NO_EVENTS: Mapping[str, datetime] = {}
_NO_TAGS: frozenset[str] = frozenset()
_NO_ZONES = ContactZone(None, None)
_NO_RULES = WorkspaceRules()


class BatchContext:
    """What conditions, waits and splits read of each state. States whose graph needs nothing have
    no entry."""

    def __init__(
        self,
        now: datetime,
        *,
        attributes: dict[UUID, Attributes] | None = None,
        events: dict[UUID, dict[str, datetime]] | None = None,
        since: Mapping[UUID, datetime] | None = None,
        tests: Mapping[tuple[UUID, int, str], SplitTest] | None = None,
        variants: Mapping[str, Mapping[UUID, ExistingVariant]] | None = None,
        variables: Mapping[UUID, RunVariables] | None = None,
        stores_event: Collection[tuple[UUID, int]] = (),
        zones: dict[UUID, ContactZone] | None = None,
        rules: Mapping[UUID, WorkspaceRules] | None = None,
        matched: MatchedEvents = NO_MATCHED_EVENTS,
        unreadable: Mapping[UUID, str] | None = None,
        unlocked: Set[UUID] = frozenset(),
        unguarded: frozenset[UUID] = frozenset(),
    ) -> None:
        """`attributes` by contact, `events`, `since` and `variables` by state, `tests` by campaign,
        version and split, `variants` by split and then by state or contact, `zones` by contact,
        `unreadable` by state.
        `stores_event`: the campaign versions that read the event which ended a wait. `matched`: the
        events that matchers read.
        """
        self._now = now
        self._attributes = attributes or {}
        self._events = events or {}
        self._since = since or {}
        self._tests = tests or {}
        self._variants = variants or {}
        self._variables = dict(variables or {})
        self._stores_event = stores_event
        self._matched = matched
        self._zones = zones or {}
        self.changed_variables: dict[UUID, dict[str, JsonObject]] = {}
        """Of states of which this batch changed `event` or `vars`: these, by name."""
        self._rules = rules or {}
        self.unreadable = unreadable or {}
        """The reasons why states cannot be executed: Python cannot hold a value that they read."""
        self.unlocked = unlocked
        """Contacts with waits that follow them, and that somebody else is changing."""
        self.unguarded = unguarded
        """These, and those with waits that read events: changes of theirs may be missed."""

    def rules_of(self, campaign_id: UUID) -> WorkspaceRules:
        """Return the rules of a campaign's workspace."""
        return self._rules.get(campaign_id, _NO_RULES)

    def of(self, state: DueState) -> ContactAttributes:
        """Return the input of a condition for this state."""
        attributes = self._attributes.get(state.contact_id, _NO_FIELDS)
        fields = attributes
        if self._variables and (variables := self._variables.get(state.id)):
            fields = {**attributes, **variables.by_name()}
        return ContactAttributes(
            fields,
            attributes.get("tags") or _NO_TAGS,
            self._events.get(state.id, _NO_EVENTS) if self._events else _NO_EVENTS,
            self._now,
            effective_zone(attributes),
            self._matched.events_of(state),
            self._run_of(state),
        )

    def _run_of(self, state: DueState) -> RunPosition | None:
        position = self._matched.position_of(state)
        if position is None or state.id not in self._variables:
            return position
        return position._replace(entry=self._variables[state.id].entry or {})

    def first_matching(self, state: DueState, config: EventWait) -> tuple[str, Occurrence] | None:
        """Return the event that ends a wait, and the port by which it is left; None if none has
        happened."""
        position = self._run_of(state)
        if position is None:
            return None
        zone = effective_zone(self._attributes.get(state.contact_id, _NO_FIELDS))
        events = self._matched.events_of(state)
        return first_matching(config.tests(), events, position, self._now, zone)

    def happened_since_message(self, states: Sequence[DueState], event_type: str) -> set[UUID]:
        """Return the ids of states with this event since their latest message, or since they
        entered the node before if they have none. An event that belongs to a message must be about
        the latest message; only such events are loaded."""
        if event_type in MESSAGE_EVENT_CHANNELS:
            return {s.id for s in states if event_type in self._events.get(s.id, _NO_EVENTS)}
        ids = set()
        for state in states:
            latest = self._events.get(state.id, {}).get(event_type)
            since = self._since.get(state.id)
            if latest is not None and since is not None and latest >= since - EVENT_CLOCK_TOLERANCE:
                ids.add(state.id)
        return ids

    def variables_of(self, state: DueState) -> RunVariables:
        """Return the variables of the state's run; empty if its graph reads none from here on."""
        return self._variables.get(state.id, NO_VARIABLES)

    def keeps_event(self, state: DueState) -> bool:
        """Return whether the state's campaign version reads the event that ended a wait."""
        return (state.campaign_id, state.campaign_version) in self._stores_event

    def set_event(self, state: DueState, properties: JsonObject) -> None:
        """Store the properties of the event that ended a wait of this state, if its campaign
        version reads them anywhere."""
        if self.keeps_event(state):
            self._variables[state.id] = self.variables_of(state)._replace(event=properties)
            self.changed_variables.setdefault(state.id, {})[EVENT] = properties

    def set_vars(self, state: DueState, values: JsonObject) -> None:
        """Replace the variables that actions have set."""
        self._variables[state.id] = self.variables_of(state)._replace(vars=values)
        self.changed_variables.setdefault(state.id, {})[VARS] = values

    def template_context(self, state: DueState) -> dict[str, object]:
        """Return what the templates of an action read: of the contact, of the run, and of the
        batch (`now`, `campaign_id`)."""
        contact = self.of(state)
        fields = {**contact.fields}
        if "tags" in fields:
            fields["tags"] = sorted(contact.tags)
        return {**fields, "now": self._now, "campaign_id": str(state.campaign_id)}

    def by_zone(
        self, states: Sequence[DueState], choice: str | None
    ) -> dict[str | None, Sequence[DueState]]:
        """Group states by the time zone that a choice (see `ZoneChoice`) means for them. A graph
        has few zones, so times are computed per group and not per state."""
        if choice not in (CONTACT_ZONE, WORKSPACE_ZONE_NAME):
            return {choice: states}
        groups: dict[str | None, list[DueState]] = {}
        for zones, members in self.by_zones(states).items():
            groups.setdefault(zones.named(choice), []).extend(members)
        return dict(groups)

    def by_zones(self, states: Sequence[DueState]) -> dict[Zones, Sequence[DueState]]:
        """Group states by the time zones of their contacts and of their workspaces."""
        groups: dict[ContactZone, list[DueState]] = {}
        for state in states:
            zones = self._zones.get(state.contact_id, _NO_ZONES)
            group = groups.get(zones)
            if group is None:
                groups[zones] = [state]
            else:
                group.append(state)
        by_zones: dict[Zones, list[DueState]] = {}
        for (of_contact, of_workspace), members in groups.items():
            key = Zones(zone_name(of_contact, of_workspace), of_workspace)
            by_zones.setdefault(key, []).extend(members)
        return dict(by_zones)

    def test_of(self, state: DueState, split_node_id: str) -> SplitTest | None:
        """Return the test of this split in the state's campaign version."""
        return self._tests.get((state.campaign_id, state.campaign_version, split_node_id))

    def existing_variants(self, split_node_id: str) -> Mapping[UUID, ExistingVariant]:
        """Return the variants already assigned at this split, by state id and by contact id."""
        return self._variants.get(split_node_id, {})

    def apply(self, change: ContactChange, states: Iterable[DueState]) -> None:
        """Apply a change to the loaded attributes, so that a condition after an action reads it."""
        for state in states:
            attributes = self._attributes.get(state.contact_id)
            if attributes is not None:
                apply_change(change.of(state.id), attributes)
            if change.kind == "custom_field" and change.name == "timezone" and self._zones:
                zones = self._zones.get(state.contact_id, _NO_ZONES)
                zone = change.of(state.id).text()
                self._zones[state.contact_id] = zones._replace(of_contact=zone)


def load(
    connection: Connection,
    groups: Mapping[NodePosition, Sequence[DueState]],
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    now: datetime,
    message: SentMessage = NO_SENT_MESSAGE,
    rules: Mapping[UUID, WorkspaceRules] | None = None,
) -> BatchContext:
    """Read what the nodes that these states can reach in this batch refer to.

    `message` was just sent to all of these states, and is written to them with their transitions.
    `rules` are those of the campaigns' workspaces. The number of queries does not depend on
    the number of states.
    """
    contact_ids: set[UUID] = set()
    columns: set[str] = set()
    fields: set[str] = set()
    asking: list[DueState] = []
    waiting: list[DueState] = []
    splitting: list[DueState] = []
    zoned: set[UUID] = set()
    event_types: set[str] = set()
    reading_variables: list[tuple[Reachability, CampaignGraph, Sequence[DueState]]] = []
    stores_event: set[tuple[UUID, int]] = set()
    matching: list[tuple[Needs, Sequence[DueState]]] = []
    followed: set[UUID] = set()
    by_events: set[UUID] = set()
    for position, states in groups.items():
        graph = graphs[(position.campaign_id, position.campaign_version)]
        ahead = reachability(graph, position.node_id, position.resume_port)
        if ahead.needs.variables:
            reading_variables.append((ahead, graph, states))
        if ahead.needs.run:
            matching.append((ahead.needs, states))
        if (ahead.waits_for or ahead.needs.occurrences) and graph.reads_event():
            stores_event.add((position.campaign_id, position.campaign_version))
        needed = _columns(ahead.needs)
        if needed:
            columns |= needed
            fields |= ahead.needs.fields
            contact_ids.update(state.contact_id for state in states)
        if ahead.needs.event_types or ahead.waits_for:
            asking += states
            event_types |= ahead.needs.event_types | ahead.waits_for
        if ahead.waits_for:
            waiting += states
        if ahead.has_split:
            splitting += states
        if ahead.follows:
            followed.update(state.contact_id for state in states)
        if ahead.follows_events:
            by_events.update(state.contact_id for state in states)
        hours = (rules or {}).get(position.campaign_id, _NO_RULES).quiet_hours
        if ahead.reads_zones or _message_reads_zones(graph, ahead, hours):
            zoned.update(state.contact_id for state in states)
    # Before anything is read: a contact that is changed from here on is queued after the commit.
    unlocked = followed_db.share_contacts(connection, followed) if followed else frozenset[UUID]()
    tests = split_variants.tests(connection, splitting) if splitting else {}
    attributes, of_contacts = (
        _attributes(connection, contact_ids, columns, fields) if contact_ids else (None, {})
    )
    events, unreadable = _events(connection, asking, event_types) if asking else (None, {})
    variables = None
    if reading_variables:
        variables, unreadable_variables = run_variables.load(connection, reading_variables)
        unreadable |= unreadable_variables
    matched = NO_MATCHED_EVENTS
    if matching:
        matched, unreadable_events = load_matched(connection, matching, message)
        unreadable |= unreadable_events
    if of_contacts:
        unreadable |= _unreadable_states(groups, graphs, of_contacts)
    return BatchContext(
        now,
        attributes=attributes,
        events=events,
        since=_since(connection, waiting, message) if waiting else None,
        tests=tests,
        variants=split_variants.variants(connection, splitting, tests) if splitting else None,
        variables=variables,
        stores_event=stores_event,
        zones=batch_context_db.contact_zones(connection, zoned) if zoned else None,
        rules=rules,
        matched=matched,
        unreadable=unreadable,
        unlocked=unlocked,
        unguarded=frozenset(unlocked | by_events),
    )


def _message_reads_zones(
    graph: CampaignGraph, ahead: Reachability, quiet_hours: QuietHours | None
) -> bool:
    return graph.has_messages() and any(
        graph.nodes[node_id].rules(quiet_hours).read_zones() for node_id in ahead.nodes
    )


def _unreadable_states(
    groups: Mapping[NodePosition, Sequence[DueState]],
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    of_contacts: Mapping[UUID, Sequence[Unreadable]],
) -> dict[UUID, str]:
    """Return why states cannot be executed: their graph reads a value that cannot be read."""
    reasons: dict[UUID, str] = {}
    for position, states in groups.items():
        graph = graphs[(position.campaign_id, position.campaign_version)]
        columns = _columns(reachability(graph, position.node_id, position.resume_port).needs)
        for state in states:
            for value in of_contacts.get(state.contact_id, ()):
                if value.column in columns:
                    reasons[state.id] = value.describe(state.contact_id)
                    break
    return reasons


def _columns(needs: Needs) -> set[str]:
    columns, reads_custom_fields = contact_columns_for(needs.fields)
    return (
        set(columns)
        | ({"custom_fields"} if reads_custom_fields else set())
        | ({"tags"} if needs.tags else set())
        | ({WORKSPACE_ZONE} if "timezone" in needs.fields else set())
    )


def _attributes(
    connection: Connection, contact_ids: set[UUID], columns: set[str], fields: set[str]
) -> tuple[dict[UUID, Attributes], Mapping[UUID, Sequence[Unreadable]]]:
    # With the columns, because changes refer to them; and the first part of a dotted path may be
    # the name of a custom field.
    read = reader_of(columns | fields | {name.partition(".")[0] for name in fields})
    attributes_of = {}
    rows, unreadable = batch_context_db.contact_attributes(connection, list(contact_ids), columns)
    for row in rows:
        attributes = attributes_of[row["id"]] = read(row)
        if WORKSPACE_ZONE in row:
            attributes[WORKSPACE_ZONE] = row[WORKSPACE_ZONE]
        if "tags" in row:
            try:
                attributes["tags"] = frozenset(row["tags"] or ())
            except TypeError:  # an array of arrays is a text[], too
                unreadable = {**unreadable, row["id"]: [NESTED_TAGS]}
    return attributes_of, unreadable


def facts_of(
    connection: Connection, contact_ids: set[UUID], needs: Needs, now: datetime
) -> dict[UUID, ContactAttributes]:
    """Return what needs of fields and tags read of contacts, by contact."""
    attributes_of, _ = _attributes(connection, contact_ids, _columns(needs), set(needs.fields))
    return {
        contact_id: ContactAttributes(
            values, values.get("tags") or _NO_TAGS, _NO_EVENTS, now, effective_zone(values)
        )
        for contact_id, values in attributes_of.items()
    }


def _events(
    connection: Connection, states: Sequence[DueState], event_types: set[str]
) -> tuple[dict[UUID, dict[str, datetime]], dict[UUID, str]]:
    latest_of: dict[UUID, dict[str, datetime]] = {}
    unreadable: dict[UUID, str] = {}
    for state_id, event_type, latest_at in batch_context_db.latest_events(
        connection, [s.id for s in states], [s.contact_id for s in states], sorted(event_types)
    ):
        if isinstance(latest_at, Unreadable):
            unreadable[state_id] = f"the time of its latest {event_type}: {latest_at.reason}"
            continue
        latest = latest_of.setdefault(state_id, {})
        if event_type not in latest or latest_at > latest[event_type]:
            latest[event_type] = latest_at
    return latest_of, unreadable


def _since(
    connection: Connection, states: Sequence[DueState], message: SentMessage
) -> dict[UUID, datetime]:
    if message.sent_at is not None:
        return dict.fromkeys((state.id for state in states), message.sent_at)
    return dict(batch_context_db.look_back_from(connection, [state.id for state in states]))
