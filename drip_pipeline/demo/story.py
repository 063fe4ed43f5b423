"""What happens in the demonstration: who enters which campaign when, and how people take to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from drip_pipeline.demo.reactions import ReactionRates
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.engine.enrollment.audience import Matching, Selection, Tagged

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
CAMPAIGN_FILES: Final = ("onboarding.yaml", "winback.yaml", "subject_test.yaml")
LENGTH: Final = timedelta(days=24)
STEP: Final = timedelta(hours=12)
"""The clock is compressed: the engine wakes twice a day where in life it wakes every minute."""

# A question in the subject is read and followed more often: a real difference for the test to find.
RATES: Final[dict[str, ReactionRates]] = {
    "Newsletter subjects/plain_letter": ReactionRates(opened=0.31, clicked=0.20),
    "Newsletter subjects/question_letter": ReactionRates(opened=0.37, clicked=0.27),
    # What Win-back's goal is: the shop reports a purchase, and the engine credits it to a message.
    "Win-back/we_miss_you": ReactionRates(opened=0.28, clicked=0.30, conversion="purchase"),
    "Win-back/offer": ReactionRates(
        opened=0.35, clicked=0.30, converted=0.30, conversion="purchase"
    ),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """People who enter a campaign, that long after the beginning."""

    campaign: str
    after: timedelta
    people: Selection
    told: str


def entries() -> list[Entry]:
    """In order of time. The newsletter goes out in four waves, so that the later ones meet the
    winner."""
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
