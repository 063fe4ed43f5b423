"""The state of a test: a pure function of its inputs; the first rule that matches decides.

terminal → invalid → srm_blocked → collecting (sample, cell, runtime) → guardrail_blocked |
significant | decided_winner (leader beats all) → decided_no_winner (equivalent) → decided_no_winner
(inconclusive) → collecting

The inputs come from `build_verdict.py`; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.counts import PriorDecision


@dataclass(frozen=True, slots=True)
class StateInputs:
    """The inputs of the state. A `Reason` field is None if its rule does not apply."""

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


def next_state(inputs: StateInputs) -> tuple[State, Reason]:
    """Return the state and its reason: the first matching rule, in the order of the module's
    docstring.
    """
    if inputs.decided is not None:
        return inputs.decided.state, inputs.decided.reason
    if inputs.fault is not None:
        return State.INVALID, inputs.fault
    if inputs.srm_blocks:
        return State.SRM_BLOCKED, Reason.SAMPLE_RATIO_MISMATCH
    if inputs.shortfall is not None:
        return State.COLLECTING, inputs.shortfall
    if inputs.leader_beats_all:
        if inputs.guardrail is not None:
            return State.GUARDRAIL_BLOCKED, inputs.guardrail
        if not inputs.auto_select_winner:
            return State.SIGNIFICANT, Reason.AWAITING_PERSON
        return State.DECIDED_WINNER, Reason.LEADER_BEATS_ALL
    if inputs.equivalent:
        return State.DECIDED_NO_WINNER, Reason.EQUIVALENT
    if inputs.exhausted:
        return State.DECIDED_NO_WINNER, Reason.INCONCLUSIVE
    return State.COLLECTING, inputs.waiting_for
