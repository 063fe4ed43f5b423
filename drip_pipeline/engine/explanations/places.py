"""Where a run is and what happens next, in one sentence.

`WAITS` has the sentence of each kind of wait; a new kind is added there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from drip_pipeline.db.explanations.one_person import RunRow
from drip_pipeline.domain.diff.describe import condition, narrowed_event, wait
from drip_pipeline.domain.graph.contact_waits import PORT_MET
from drip_pipeline.domain.graph.graph import (
    PORT_DEFAULT,
    PORT_TIMEOUT,
    CampaignGraph,
    GraphNode,
    NodeType,
)
from drip_pipeline.domain.graph.nodes import (
    ConditionWait,
    DateWait,
    DurationWait,
    EventWait,
    TimeWait,
)
from drip_pipeline.engine.explanations.exit_reasons import exit_text
from drip_pipeline.engine.explanations.explanation import Place
from drip_pipeline.engine.explanations.refusals import ContactRefusal, ContactRefusals
from drip_pipeline.engine.explanations.wording import (
    NOTHING_FOLLOWS,
    clock,
    is_cap,
    rule,
    when,
)


@dataclass(frozen=True, slots=True)
class _Position:
    """A run with the graph of its version, and what its sentences need."""

    run: RunRow
    graph: CampaignGraph
    refusals: ContactRefusals
    now: datetime
    zone: str | None

    @property
    def node(self) -> GraphNode | None:
        """The node where the run is; None if its version does not have it."""
        return self.graph.nodes.get(self.run.node_id or "")

    @property
    def where(self) -> str:
        """The campaign, with the number of the run if there are several."""
        return campaign_of(self.run)

    @property
    def at_step(self) -> str:
        """The campaign and the step."""
        step = self.node.step_name if self.node else self.run.node_id
        return f"{self.where} at {step!r}"

    def when(self, at: datetime) -> str:
        """Return a time in the contact's time zone."""
        return when(at, self.now, self.zone)

    def refusal(self, node: GraphNode) -> ContactRefusal | None:
        """Return why a message of this node would not be sent."""
        return self.refusals.of_node(self.graph, node, self.run.campaign_id)

    def since(self, refusal: ContactRefusal) -> str:
        """Return since when a refusal holds, in parentheses."""
        at = refusal.since
        return "" if at is None else f" (since {clock(at, self.now, self.zone)})"

    def after(self, port: str) -> str:
        """Return what follows by a port: `'Hello'`, `the run ends`, or why it is not sent."""
        edge = self.node.ports.get(port) if self.node else None
        return self.entering(None if edge is None else self.graph.nodes[edge.target])

    def entering(self, node: GraphNode | None) -> str:
        """Return what happens when a node is entered."""
        if node is None or node.node_type is NodeType.EXIT:
            return "the run ends"
        refusal = self.refusal(node)
        if refusal is None:
            return repr(node.step_name)
        since = self.since(refusal)
        then = "the run ends" if refusal.ends_run else "the run goes on"
        return f"{node.step_name!r} is not sent, because {refusal.text}{since}, and {then}"


def campaign_of(run: RunRow) -> str:
    """Return the campaign's name, with the number of the run if the contact has several."""
    number = f" (run {run.number})" if run.runs_in_campaign > 1 else ""
    return f"{run.campaign!r}{number}"


def place_of(
    run: RunRow,
    graph: CampaignGraph | None,
    refusals: ContactRefusals,
    now: datetime,
    zone: str | None,
) -> Place:
    """Return where a run is and what happens next. `graph` is None if its version is unknown."""
    if run.state is None or graph is None:
        if run.enrollment_status in ("active", "paused"):
            text = f"Is enrolled in {campaign_of(run)}, and starts when the campaign is published."
            return Place("not_started", text)
        return Place(
            "completed",
            f"Was enrolled in {campaign_of(run)}, which ended ({run.enrollment_status});"
            f" {NOTHING_FOLLOWS}.",
        )
    position = _Position(run, graph, refusals, now, zone)
    if run.ended_at is not None:
        return _ended(position, run.ended_at)
    if run.enrollment_status not in ("active", "paused"):
        text = f"Leaves {position.at_step} at the next run of the engine: an application ended it."
        return Place("due", text, now)
    if run.campaign_status != "active":
        return Place("paused", f"Is in {position.at_step}; {_stopped(run)}.")
    if run.enrollment_status == "paused" or run.state == "paused":
        text = f"Is in {position.at_step}; the enrollment is paused, and nothing happens until it"
        return Place("paused", f"{text} is active again.")
    if run.delivery_id is not None:
        return _message(position)
    return _waiting(position)


def _stopped(run: RunRow) -> str:
    if run.campaign_status != "paused":
        return f"the campaign is {run.campaign_status}, and nothing happens"
    by_guard = " by its guard" if run.paused_by else ""
    return f"the campaign is paused{by_guard}, and nothing happens until it is resumed"


# --- ended ----------------------------------------------------------------------------------------


def _ended(position: _Position, at: datetime) -> Place:
    run = position.run
    if run.state == "failed":
        error = (run.last_error or "no error is stored").rstrip(".")
        text = f"Failed in {position.at_step} on {position.when(at)}: {error}"
        return Place("failed", f"{text}; `drip requeue` tries again.")
    if run.state == "completed":
        return Place(
            "completed", f"Finished {position.where} on {position.when(at)}; {NOTHING_FOLLOWS}."
        )
    text = exit_text(run.exit_reason, position.graph)
    return Place(
        "exited",
        f"Left {position.at_step} on {position.when(at)}: {text}; {NOTHING_FOLLOWS}.",
    )


# --- messages -------------------------------------------------------------------------------------


def _message(position: _Position) -> Place:
    run, node = position.run, position.node
    start = f"Is in {position.at_step}"
    refusal = None if node is None else position.refusal(node)
    outcome, ends = "it is sent then", ""
    if refusal is not None:
        ends = "the run ends" if refusal.ends_run else "the run goes on"
        outcome = (
            f"it is not sent then, because {refusal.text}{position.since(refusal)}, and {ends}"
        )
    due_at = run.delivery_due_at
    match run.delivery_status:
        case "sending":
            return Place("sending", f"{start}: the message is being sent.", run.leased_until)
        case "unknown" if run.leased_until is None:
            return Place(
                "unknown",
                f"{start}: whether the message was sent is unknown; `drip deliveries settle`"
                " decides.",
            )
        case "unknown" if run.leased_until is not None:
            at = position.when(run.leased_until)
            text = f"{start}: whether the message was sent is unknown; it counts as sent from {at}."
            return Place("unknown", text, run.leased_until)
        case "pending" if due_at is not None and due_at > position.now:
            at = position.when(due_at)
            if run.held_by and run.held_until == due_at:
                if refusal is None and is_cap(run.held_by):
                    # Another message may be more important, and take the place.
                    outcome = "it is sent then, if there is a place"
                return Place(
                    "held",
                    f"{start}: {rule(run.held_by)} holds the message until {at}; {outcome}.",
                    due_at,
                )
            if run.attempts:
                error = (run.delivery_error or "no error is stored").rstrip(".")
                text = f"{start}: attempt {run.attempts} to send failed ({error})"
                return Place("retrying", f"{text}; the next one is on {at}.", due_at)
            return Place("due", f"{start}: the message is due on {at}; {outcome}.", due_at)
    if refusal is not None:
        text = f"{start}: the message is not sent at the next run of the engine"
        return Place(
            "due", f"{text}, because {refusal.text}{position.since(refusal)}, and {ends}.", due_at
        )
    return Place("due", f"{start}: the message is sent at the next run of the engine.", due_at)


# --- waits ----------------------------------------------------------------------------------------


def _waiting(position: _Position) -> Place:
    run, node = position.run, position.node
    until = run.due_at
    if until is None:
        return Place("waiting", f"Is in {position.at_step}.")
    if run.retry_count and until > position.now:
        error = (run.last_error or "no error is stored").rstrip(".")
        attempts = f"attempt {run.retry_count} of {(run.max_retries or 0) + 1} failed"
        text = f"Is in {position.at_step}: {attempts} ({error})"
        return Place("retrying", f"{text}; the next one is on {position.when(until)}.", until)
    if until <= position.now:
        follows = position.after(run.resume_port) if run.resume_port else position.entering(node)
        text = f"Is due in {position.at_step} since {position.when(until)}"
        return Place("due", f"{text}; at the next run of the engine: {follows}.", until)
    if run.resume_port is None or node is None:
        text = f"Waits in {position.where} until {position.when(until)}"
        return Place("waiting", f"{text}, then {position.entering(node)}.", until)
    sentence = WAITS.get(type(node.config), _timed)
    return Place("waiting", sentence(position, node.config, until), until)


def _timed(position: _Position, _config: Any, until: datetime) -> str:
    port = position.run.resume_port or ""
    text = f"Waits in {position.at_step} until {position.when(until)}"
    return f"{text}, then {position.after(port)}."


def _for_event(position: _Position, config: EventWait, until: datetime) -> str:
    awaited = " or ".join(narrowed_event(each.event_type, each) for _, each in config.matchers())
    following = dict.fromkeys(position.after(port) for port, _ in config.matchers())
    text = f"Waits in {position.at_step} for {awaited}, until {position.when(until)} at most"
    late = position.after(PORT_TIMEOUT)
    if list(following) == [late]:
        return f"{text}, then {late}."
    return f"{text}; with it at once: {' or '.join(following)}, without it then: {late}."


def _for_date(position: _Position, config: DateWait, until: datetime) -> str:
    text = f"Waits in {position.at_step} {wait(config.model_dump(mode='json'))}"
    return f"{text}, which is {position.when(until)}, then {position.after(PORT_DEFAULT)}."


def _for_condition(position: _Position, config: ConditionWait, until: datetime) -> str:
    awaited = condition(config.condition)
    text = f"Waits in {position.at_step} until {awaited}, until {position.when(until)} at most"
    met, late = position.after(PORT_MET), position.after(PORT_TIMEOUT)
    if met == late:
        return f"{text}, then {late}."
    return f"{text}; if it holds, at once: {met}, otherwise then: {late}."


WAITS: Final[Mapping[type, Callable[[_Position, Any, datetime], str]]] = {
    DurationWait: _timed,
    TimeWait: _timed,
    EventWait: _for_event,
    DateWait: _for_date,
    ConditionWait: _for_condition,
}
"""The sentence of each kind of wait: the position, the wait, and the end by time."""
