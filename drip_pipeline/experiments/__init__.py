"""Experiments: counts in, verdict with a reason out. Pure statistics: no I/O, no clock, no SQL.

The few names that other rooms need; scipy is imported only when something is calculated. The rules
are in the modules: `states` (the state machine), `sequential` (looking every minute), `verdict`
(what comes out).
"""

from __future__ import annotations

from drip_pipeline.domain.definition.ab_test import ABTestConfig, DecisionMethod, Guardrail, Metric
from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.config import ConfigInvalid, read_test_config
from drip_pipeline.experiments.counts import (
    ABTest,
    CohortCounts,
    PriorDecision,
    SrmHold,
    VariantCounts,
)
from drip_pipeline.experiments.estimates import (
    TimeToDecision,
    sample_size_per_variant,
    time_to_decision,
)
from drip_pipeline.experiments.evaluation_file import EvaluationFileInvalid, evaluate_file
from drip_pipeline.experiments.evaluation_result import as_item
from drip_pipeline.experiments.explain import explain, what_would_change
from drip_pipeline.experiments.judge import judge_many, judge_one
from drip_pipeline.experiments.report_figures import ReportFigures, report_figures
from drip_pipeline.experiments.verdict import (
    ENGINE_VERSION,
    PairResult,
    VariantResult,
    Verdict,
)

__all__ = [
    "ENGINE_VERSION",
    "ABTest",
    "ABTestConfig",
    "CohortCounts",
    "ConfigInvalid",
    "DecisionMethod",
    "EvaluationFileInvalid",
    "Guardrail",
    "Metric",
    "PairResult",
    "PriorDecision",
    "Reason",
    "ReportFigures",
    "SrmHold",
    "State",
    "TimeToDecision",
    "VariantCounts",
    "VariantResult",
    "Verdict",
    "as_item",
    "evaluate_file",
    "explain",
    "judge_many",
    "judge_one",
    "read_test_config",
    "report_figures",
    "sample_size_per_variant",
    "time_to_decision",
    "what_would_change",
]
