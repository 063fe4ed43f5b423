"""Statistics of A/B tests: counts in, verdict with a reason out. No I/O, no clock, no SQL.

Exports the names that other packages use; scipy is imported only when something is calculated. The
rules are in the modules: `states` (the state machine), `sequential` (p-values that are valid at
every look), `verdict` (the result).
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
from drip_pipeline.experiments.evaluate import evaluate_test, evaluate_tests
from drip_pipeline.experiments.evaluation_file import EvaluationFileInvalid, evaluate_file
from drip_pipeline.experiments.evaluation_result import as_item
from drip_pipeline.experiments.explain import explain, what_would_change
from drip_pipeline.experiments.planning import (
    TimeToDecision,
    sample_size_per_variant,
    time_to_decision,
)
from drip_pipeline.experiments.report_estimates import ReportEstimates, report_estimates
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
    "ReportEstimates",
    "SrmHold",
    "State",
    "TimeToDecision",
    "VariantCounts",
    "VariantResult",
    "Verdict",
    "as_item",
    "evaluate_file",
    "evaluate_test",
    "evaluate_tests",
    "explain",
    "read_test_config",
    "report_estimates",
    "sample_size_per_variant",
    "time_to_decision",
    "what_would_change",
]
