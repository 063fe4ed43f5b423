"""The scenario of the demonstration: the audience and time of each entry, and engagement rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from drip_pipeline.demo.engagement import EngagementRates
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.engine.enrollment.audience import Matching, Selection, Tagged

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
CAMPAIGN_FILES: Final = ("onboarding.yaml", "winback.yaml", "subject_test.yaml")
CAMPAIGNS: Final = ("Onboarding", "Win-back", "Newsletter subjects")
LENGTH: Final = timedelta(days=24)
STEP: Final = timedelta(hours=12)
"""The simulated engine runs twice a day instead of every minute."""

# A question in the subject is opened and clicked more often: a real difference for the test.
RATES: Final[dict[str, EngagementRates]] = {
    "Newsletter subjects/plain_letter": EngagementRates(opened=0.31, clicked=0.20),
    "Newsletter subjects/question_letter": EngagementRates(opened=0.37, clicked=0.27),
    **{
        f"Onboarding/{node_id}": EngagementRates(conversion="purchase")
        for node_id in ("welcome", "tips", "check_in")
    },
    # Win-back's goal: the shop reports a purchase, and the engine attributes it to a message.
    "Win-back/we_miss_you": EngagementRates(opened=0.28, clicked=0.30, conversion="purchase"),
    "Win-back/offer": EngagementRates(
        opened=0.35, clicked=0.30, converted=0.30, conversion="purchase"
    ),
}


GOALS: Final[dict[str, dict[str, Any]]] = {
    "onboarding.yaml": {
        "goal_event": {"event_type": "purchase", "within": {"value": 14, "unit": "days"}}
    }
}
"""What the demo adds to a campaign file: who buys leaves the onboarding."""
QUIET_HOURS: Final[dict[str, Any]] = {"from": "21:00", "to": "08:00"}
"""No marketing at night, by the clock of each contact."""
CAP: Final[dict[str, Any]] = {"name": "one-a-day", "max": 1, "per": "calendar_day"}
"""At most one marketing message a day; another one waits for the next day."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An audience that enters a campaign, this long after the start; `label` describes it."""

    campaign: str
    after: timedelta
    audience: Selection
    label: str


def entries() -> list[Entry]:
    """Return the entries in order of time.

    The newsletter is sent in four waves, so that the later ones are sent after the decision.
    """
    waves = [
        Entry(
            "Newsletter subjects",
            timedelta(days=3 * wave),
            Matching(_between("days_since_order", 100 * wave, 100 * (wave + 1))),
            f"wave {wave + 1} of the newsletter",
        )
        for wave in range(4)
    ]
    prospects = Condition.model_validate(
        {"type": "field", "field": "status", "operator": "==", "value": "prospect"}
    )
    return sorted(
        [
            Entry("Onboarding", timedelta(0), Matching(prospects), "prospects"),
            Entry("Win-back", timedelta(hours=12), Tagged("lapsed"), "lapsed customers"),
            *waves,
        ],
        key=lambda entry: entry.after,
    )


def _between(field: str, above: int, upto: int) -> Condition:
    def part(operator: str, value: int) -> dict[str, Any]:
        return {"type": "field", "field": field, "operator": operator, "value": value}

    return Condition.model_validate(
        {
            "type": "composite",
            "logic": "AND",
            "sub_conditions": [part(">", above), part("<=", upto)],
        }
    )
