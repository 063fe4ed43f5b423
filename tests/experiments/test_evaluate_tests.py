from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace

from drip_pipeline.experiments import (
    ABTest,
    PriorDecision,
    Reason,
    State,
    VariantCounts,
    evaluate_test,
    evaluate_tests,
    read_test_config,
)
from tests.experiments.tables import counted

METRICS = ("open_rate", "click_rate", "reply_rate", "conversion_rate", "engagement_score")
METHODS = ("always_valid", "planned", "fixed_horizon")


def a_mixture(seed: int, size: int) -> list[ABTest]:
    """Tests of all metrics, methods and states, some of them broken, some decided."""
    draw = random.Random(seed)
    configs = [
        read_test_config(
            {
                "winner_metric": metric,
                "decision_method": method,
                "planned_sample_size": draw.choice([500, 3000]),
                "minimum_lift": draw.choice([0.0, 0.5]),
                "equivalence_margin": draw.choice([None, 3.0]),
            }
        )
        for metric in METRICS
        for method in METHODS
    ]
    tests = []
    for _ in range(size):
        variants = [a_variant(draw, name) for name in "abcde"[: draw.randint(1, 5)]]
        if draw.random() < 0.2:
            held = counted("none", 0, assigned=draw.randint(0, 900), is_holdout=True)
            variants.insert(draw.randint(0, len(variants)), held)
        test = ABTest(tuple(variants), draw.choice(configs), runtime_hours=5.0)
        if draw.random() < 0.1:
            prior = PriorDecision(State.DECIDED_NO_WINNER, Reason.EQUIVALENT)
            test = replace(test, decided=prior)
        tests.append(test)
    return tests


def a_variant(draw: random.Random, name: str) -> VariantCounts:
    sent = draw.choice([0, 1, 50, 800, 2500, 9000])
    opened = draw.randint(0, sent) if draw.random() < 0.3 else sent // 4
    if draw.random() < 0.03:
        opened = sent + 1
    return counted(
        name,
        sent,
        opened=opened,
        clicked=sent // 10,
        replied=draw.randint(0, sent // 20),
        unsubscribed=draw.randint(0, sent // 10),
        assigned=sent + draw.randint(0, 3),
        weight=draw.choice([None, 1.0, 1.0, 2.0]),
        score_sum=0.3 * opened,
        score_sum_squares=0.09 * opened,
    )


def test_many_tests_at_once_get_the_verdicts_of_one_at_a_time():
    tests = a_mixture(7, 600)
    together = evaluate_tests(tests)
    assert together == [evaluate_test(test) for test in tests]
    assert {v.state for v in together} >= {
        State.COLLECTING,
        State.INVALID,
        State.SRM_BLOCKED,
        State.DECIDED_WINNER,
        State.DECIDED_NO_WINNER,
    }


def test_no_tests_give_no_verdicts():
    assert evaluate_tests([]) == []


def test_five_thousand_tests_of_three_variants_take_little_cpu():
    draw = random.Random(3)
    config = read_test_config({"winner_metric": "click_rate"})
    tests = []
    for _ in range(5000):
        sent = draw.randint(500, 50_000)
        tests.append(
            ABTest(
                tuple(
                    counted(name, sent, opened=sent // 3, clicked=draw.randint(0, sent // 9))
                    for name in "abc"
                ),
                config,
            )
        )
    evaluate_tests(tests[:10])
    started = time.process_time()
    evaluate_tests(tests)
    assert time.process_time() - started < 2.0


def test_importing_experiments_does_not_import_scipy():
    code = "import sys, drip_pipeline.experiments; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_evaluating_needs_no_slow_import():
    code = (
        "import sys\n"
        "from drip_pipeline.experiments import ABTest, ABTestConfig, VariantCounts, evaluate_test\n"
        "a, b = (VariantCounts(n, 900, 900, x) for n, x in (('a', 300), ('b', 200)))\n"
        "evaluate_test(ABTest((a, b), ABTestConfig()))\n"
        "sys.exit('scipy.stats' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
