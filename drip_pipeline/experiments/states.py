"""The state of a test: a pure function of facts, the first rule that matches.

terminal → invalid → srm_blocked → collecting (sample, cell, runtime) → guardrail_blocked |
significant | decided_winner (leader beats all) → decided_no_winner (equivalent) → decided_no_winner
(inconclusive) → collecting

How the facts are found is `judge.py`; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.counts import PriorDecision


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state rests on. A `Reason` field is None when its rule does not apply."""

    decided: PriorDecision | None = None
    fault: Reason | None = None
    srm_blocks: bool = False
    shortfall: Reason | None = None
    leader_beats_all: bool = False
    guardrail: Reason | None = None
    auto_select_winner: bool = True
    equivalent: bool = False
    exhausted: bool = False
    waiting_for: Reason = Reason.NOT_SIGNIFICANT


def next_state(facts: Facts) -> tuple[State, Reason]:
    """The state and its reason. Rules are tried in the documented order; the first that matches
    wins.
    """
    if facts.decided is not None:
        return facts.decided.state, facts.decided.reason
    if facts.fault is not None:
        return State.INVALID, facts.fault
    if facts.srm_blocks:
        return State.SRM_BLOCKED, Reason.SAMPLE_RATIO_MISMATCH
    if facts.shortfall is not None:
        return State.COLLECTING, facts.shortfall
    if facts.leader_beats_all:
        if facts.guardrail is not None:
            return State.GUARDRAIL_BLOCKED, facts.guardrail
        if not facts.auto_select_winner:
            return State.SIGNIFICANT, Reason.AWAITING_PERSON
        return State.DECIDED_WINNER, Reason.LEADER_BEATS_ALL
    if facts.equivalent:
        return State.DECIDED_NO_WINNER, Reason.EQUIVALENT
    if facts.exhausted:
        return State.DECIDED_NO_WINNER, Reason.INCONCLUSIVE
    return State.COLLECTING, facts.waiting_for
