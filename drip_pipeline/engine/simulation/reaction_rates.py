"""How often contacts react to a message: defaults, a file of rates, and what a log has measured.

Rates are shares from 0 to 1. `clicked` and `replied` apply to opened emails, the others to sent
messages. The defaults are round numbers near what senders publish; docs/testing-campaigns.md lists
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import EventName, Name, NodeModel
from drip_pipeline.domain.definition.problems import from_validation
from drip_pipeline.domain.definition.text_formats import UnreadableText, parse_text
from drip_pipeline.errors import ImportFileError

LEAST_MEASURED: Final = 100
"""Messages from which on measured rates are used."""
DEFAULT_SOURCE: Final = "default"


def read_share(value: object) -> float:
    """Return a share: 0.25 or "25%". Raises ValueError."""
    text = str(value).strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError("is not a share such as 0.25 or 25%") from None
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise ValueError("is not between 0 and 1; write 0.25 or 25%")
    return share


def _share(value: object) -> float:
    try:
        return read_share(value)
    except ValueError as error:
        raise PydanticCustomError("share_invalid", "{why}", {"why": str(error)}) from None


Share = Annotated[float, BeforeValidator(_share), WithJsonSchema({"type": ["number", "string"]})]
Hours = Annotated[float, Field(gt=0, le=8_760)]


class Rates(NodeModel):
    """The reactions to the messages of a node."""

    bounced: Share = Field(default=0.01, description="Permanent bounces of emails.")
    unsubscribed: Share = Field(default=0.002, description="Unsubscriptions, and STOP of SMS.")
    complained: Share = Field(default=0.0003, description="Complaints about emails.")
    opened: Share = Field(default=0.3, description="Openings by people.")
    clicked: Share = Field(default=0.08, description="Clicks, of the opened emails.")
    replied: Share = Field(default=0.01, description="Replies, of the opened emails or of the SMS.")
    open_hours: Hours = Field(default=6.0, description="Mean time until the opening.")
    click_hours: Hours = Field(default=0.25, description="Mean time from opening to click.")
    reply_hours: Hours = Field(default=12.0, description="Mean time until the reply.")


class EventRate(NodeModel):
    """How often an event of the contact, such as a purchase, follows a message."""

    rate: Share = Field(description="Share of the messages that the event follows.")
    hours: Hours = Field(default=48.0, description="Mean time from the message to the event.")
    nodes: tuple[Name, ...] = Field(default=(), description="Only after messages of these nodes.")
    data: dict[str, Any] = Field(default_factory=dict, description="Properties of the event.")


class RatesFile(NodeModel):
    """A file of rates: for all nodes, for single nodes, and for events."""

    default: dict[str, Any] = Field(default_factory=dict, description="Rates of all nodes.")
    nodes: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Rates by node.")
    events: dict[EventName, EventRate] = Field(
        default_factory=dict, description="Rates of events of contacts, by type."
    )


class NodeRates(NamedTuple):
    """The rates of a node, and where they come from."""

    rates: Rates
    source: str


def read_rates(text: str, path: str) -> RatesFile:
    """Read a YAML or JSON file of rates. Raises ImportFileError with all faults."""
    try:
        content = parse_text(text)
        file = RatesFile.model_validate(content)
        for part in (file.default, *file.nodes.values()):
            Rates.model_validate(part)
    except UnreadableText as error:
        raise ImportFileError(path, str(error)) from None
    except ValidationError as error:
        faults = from_validation(error, node_id=None, where="", model=RatesFile)
        hint = "docs/testing-campaigns.md shows a file of rates."
        raise ImportFileError(path, "; ".join(f.message for f in faults), hint=hint) from None
    return file


class Measured(NamedTuple):
    """What a log says of the messages of a node, or of all messages of the channel."""

    node_id: str | None
    channel: str
    messages: int
    bounced: int
    opened: int
    clicked: int
    replied: int
    unsubscribed: int
    complained: int
    open_hours: float | None
    click_hours: float | None


def rates_of_nodes(
    channels: Mapping[str, str],
    measured: Sequence[Measured],
    file: RatesFile,
    overrides: Mapping[str, float],
) -> dict[str, NodeRates]:
    """Return the rates of message nodes, given by their channels.

    In this order: options of the command, the node in the file, `default` of the file, what the log
    measured of the node, or of the channel, the defaults.
    """
    of_node = {m.node_id: m for m in measured if m.node_id is not None}
    of_channel = {m.channel: m for m in measured if m.node_id is None}
    result = {}
    for node_id, channel in channels.items():
        base, source = _measured(of_node.get(node_id), of_channel.get(channel), channel)
        values = {**base, **file.default, **file.nodes.get(node_id, {}), **overrides}
        if overrides:
            source = f"{source}, options"
        if file.default or node_id in file.nodes:
            source = f"{source}, file"
        result[node_id] = NodeRates(Rates.model_validate(values), source)
    return result


def _measured(
    of_node: Measured | None, of_channel: Measured | None, channel: str
) -> tuple[dict[str, Any], str]:
    for one, where in ((of_node, "this node"), (of_channel, f"all {channel}")):
        if one is not None and one.messages >= LEAST_MEASURED:
            return _rates(one), f"{one.messages:,} messages of {where}"
    return {}, DEFAULT_SOURCE


def _rates(one: Measured) -> dict[str, Any]:
    opened = max(one.opened, one.clicked)
    answers = one.messages if one.channel == "sms" else opened
    values: dict[str, Any] = {
        "bounced": one.bounced / one.messages,
        "unsubscribed": one.unsubscribed / one.messages,
        "complained": one.complained / one.messages,
        "opened": opened / one.messages,
        "clicked": one.clicked / opened if opened else 0.0,
        "replied": min(1.0, one.replied / answers) if answers else 0.0,
    }
    # The median of an exponential distribution is its mean times ln 2.
    for key, hours in (("open_hours", one.open_hours), ("click_hours", one.click_hours)):
        if hours is not None and hours > 0:
            values[key] = min(8_760.0, max(1 / 60, hours / _LN_2))
    return values


_LN_2: Final = 0.6931471805599453
