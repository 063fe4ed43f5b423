"""Guards of volume: how many contacts may enter a campaign, and the rates that pause it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from drip_pipeline.domain.conditions.fields import NO_BOOL, NodeModel, Number

CONFIRM_ABOVE: Final = 10_000
"""By default, more enrollments than this at once have to be confirmed."""
DAY_HOURS: Final = 24
_WEEK_HOURS: Final = 168
_HUNDRED: Final = 100

Count = Annotated[int, Field(ge=1, le=1_000_000_000), NO_BOOL]
Percent = Annotated[Number, Field(gt=0, le=_HUNDRED), NO_BOOL]
RateLimit = Percent | Literal[False]


class MessageCounts(NamedTuple):
    """Messages of a campaign in the period of its guard. `sent` includes those that bounced or
    failed later; `failed` are those of `failures`: never sent, or failed after that."""

    sent: int
    complained: int
    bounced: int
    failed: int
    never_sent: int


class Excess(NamedTuple):
    """A rate above its limit, both in percent, and the messages that it is computed of: `hits` of
    `messages`."""

    rate: str
    percent: float
    limit: float
    hits: int
    messages: int


class PauseWhen(NodeModel):
    """The rates, in percent of the messages of the last hours, above which a campaign is paused."""

    complaints: RateLimit = Field(
        default=0.3, description="Complaints in percent of the messages; false switches it off."
    )
    permanent_bounces: RateLimit = Field(
        default=8.0,
        description="Permanent bounces in percent of the messages; false switches it off.",
    )
    failures: RateLimit = Field(
        default=25.0,
        description="Messages that failed, in percent of all; false switches it off.",
    )
    hours: Annotated[int, Field(ge=1, le=_WEEK_HOURS), NO_BOOL] = Field(
        default=DAY_HOURS, description="Hours whose messages count."
    )
    messages: Count = Field(
        default=200, description="Fewer messages than this in these hours do not pause it."
    )

    def excess(self, numbers: MessageCounts) -> Excess | None:
        """Return the first rate that is above its limit, None if none is."""
        attempted = numbers.sent + numbers.never_sent
        for rate, limit, count, messages in (
            ("complaints", self.complaints, numbers.complained, numbers.sent),
            ("permanent_bounces", self.permanent_bounces, numbers.bounced, numbers.sent),
            ("failures", self.failures, numbers.failed, attempted),
        ):
            if limit is False or messages < self.messages:
                continue
            if _HUNDRED * count > limit * messages:
                return Excess(rate, _HUNDRED * count / messages, float(limit), count, messages)
        return None


PauseChoice = PauseWhen | Literal[False]
DEFAULT_PAUSE: Final = PauseWhen()
_CHOICE: Final[TypeAdapter[PauseChoice]] = TypeAdapter(PauseChoice)


class VolumeGuards(NamedTuple):
    """The guards of a campaign. `per_day` counts enrollments on a day of the workspace,
    `max_people` contacts that ever entered; None is without limit. `pause_when` is False if no rate
    pauses it."""

    per_day: int | None = None
    max_people: int | None = None
    pause_when: PauseChoice = DEFAULT_PAUSE

    @property
    def limits_entries(self) -> bool:
        """Whether the number of contacts that enter is limited."""
        return self.per_day is not None or self.max_people is not None

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON; `from_dict` restores equal guards."""
        data: dict[str, Any] = {}
        if self.per_day is not None:
            data["per_day"] = self.per_day
        if self.max_people is not None:
            data["max_people"] = self.max_people
        if self.pause_when is False:
            data["pause_when"] = False
        elif self.pause_when != DEFAULT_PAUSE:
            data["pause_when"] = self.pause_when.model_dump(mode="json")
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VolumeGuards:
        """Restore guards from the JSON of `to_dict`."""
        choice = data.get("pause_when")
        return cls(
            data.get("per_day"),
            data.get("max_people"),
            DEFAULT_PAUSE if choice is None else _CHOICE.validate_python(choice),
        )


NO_GUARDS: Final = VolumeGuards()
