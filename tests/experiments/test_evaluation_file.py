from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.experiments import EvaluationFileInvalid, Reason, State, evaluate_file

COUNTS = (
    "total_sent",
    "total_delivered",
    "total_opened",
    "total_clicked",
    "total_replied",
    "total_converted",
    "total_unsubscribed",
    "total_bounced",
)


def variant(name, sent=2000, **changes):
    found = dict.fromkeys(COUNTS, 0) | {"variant_group": name, "total_sent": sent}
    return found | {"total_delivered": sent} | changes


def item(*variants, **keys):
    return {"variants": list(variants), "winner_metric": "open_rate"} | keys


def evaluate_one(*variants, **keys):
    (result,) = evaluate_file([item(*variants, **keys)])
    return json.loads(json.dumps(result, allow_nan=False))


def faults(items):
    with pytest.raises(EvaluationFileInvalid) as caught:
        evaluate_file(items)
    return [(p.item, p.field) for p in caught.value.problems]


def test_an_item_has_the_documented_keys_and_forms():
    result = evaluate_one(
        variant("a", total_opened=600, assigned=2000, weight=50),
        variant("b", total_opened=450, assigned=2000, weight=50),
    )
    documented = {"state", "reason", "srm", "min_expected_cell", "variants", "pairs"}
    assert documented <= set(result)
    assert {"chi2_p", "sequential_p"} <= set(result["srm"])
    assert result["state"] == "decided_winner"
    a = result["variants"][0]
    assert a["variant_group"] == "a"
    assert a["open_rate"] == "30.00"
    assert a["delivery_rate"] == "100.00"
    assert a["engagement_score"] == "9.00"
    assert a["click_rate"] == a["reply_rate"] == a["conversion_rate"] == "0.00"
    assert a["p_value"] == 0.00000007
    assert a["confidence_level"] == 99.99
    assert a["is_statistically_significant"] is True
    assert a["is_winner"] is True
    (pair,) = result["pairs"]
    assert {"a", "b", "chi2", "chi2_p", "decision_p", "interval", "reason"} == set(pair)
    assert pair["chi2"] == pytest.approx(0.075**2 / (0.2625 * 0.7375 / 1000), rel=1e-10)
    assert pair["interval"][0] < 7.5 < pair["interval"][1]
    assert pair["reason"] is None


def test_results_keep_the_order_of_the_file():
    items = [
        item(variant("a", total_opened=x), variant("b", total_opened=450)) for x in (450, 600, 300)
    ]
    assert [r["reason"] for r in evaluate_file(items)] == [
        "leaders_tied",
        "leader_beats_all",
        "leader_beats_all",
    ]
    assert [r["winner"] for r in evaluate_file(items)] == [None, "a", "b"]
    assert evaluate_file([]) == []


@pytest.mark.parametrize(
    ("metric", "field"),
    [
        ("open_rate", "total_opened"),
        ("click_rate", "total_clicked"),
        ("reply_rate", "total_replied"),
        ("conversion_rate", "total_converted"),
        ("conversions", "total_converted"),
    ],
)
def test_every_metric_can_decide(metric, field):
    result = evaluate_one(
        variant("a", **{field: 450}), variant("b", **{field: 600}), winner_metric=metric
    )
    assert result["winner"] == "b"


def test_the_engagement_score_reads_the_sums_of_scores():
    result = evaluate_one(
        variant("a", total_opened=900, score_sum=270.0, score_sum_squares=81.0),
        variant("b", total_opened=600, score_sum=180.0, score_sum_squares=54.0),
        winner_metric="engagement_score",
    )
    assert result["winner"] == "a"
    missing = [
        item(
            variant("a", score_sum=1.0, score_sum_squares=1.0),
            variant("b"),
            winner_metric="engagement_score",
        )
    ]
    assert faults(missing) == [
        (0, "variants[1].score_sum"),
        (0, "variants[1].score_sum_squares"),
    ]


DEGENERATE = {
    "nobody": [variant("a", 0), variant("b", 0)],
    "one empty": [variant("a", 0), variant("b", total_opened=9)],
    "nothing happened": [variant("a"), variant("b")],
    "all did": [variant("a", total_opened=2000), variant("b", total_opened=2000)],
    "one person": [variant("a", 1, total_opened=1), variant("b", 1)],
    "one variant": [variant("a", total_opened=600)],
    "no variant": [],
    "only a holdout": [variant("none", 0, assigned=10, holdout=True)],
    "an empty holdout": [
        variant("a", total_opened=600),
        variant("b", total_opened=450),
        variant("none", 0, assigned=0, holdout=True),
    ],
    "more opened than sent": [variant("a", total_opened=2001), variant("b")],
    "nobody assigned": [
        variant("a", 0, assigned=0, weight=1),
        variant("b", 0, assigned=0, weight=1),
    ],
    "somebody where nobody was promised": [
        variant("a", assigned=2000, weight=100),
        variant("b", assigned=2000, weight=0),
    ],
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("method", ["always_valid", "planned", "fixed_horizon"])
@pytest.mark.parametrize("metric", ["open_rate", "engagement_score"])
def test_degenerate_tables_never_raise_and_carry_reasons(name, method, metric):
    sums = {"score_sum": 0, "score_sum_squares": 0} if metric == "engagement_score" else {}
    result = evaluate_one(
        *(v | sums for v in DEGENERATE[name]),
        winner_metric=metric,
        decision_method=method,
        planned_sample_size=500,
        minimum_lift=0.1,
        equivalence_margin=0.5,
    )
    assert result["state"] in {s.value for s in State}
    assert result["reason"] in {r.value for r in Reason}
    for pair in result["pairs"]:
        unknown = [k for k in ("chi2", "chi2_p", "decision_p", "interval") if pair[k] is None]
        assert bool(unknown) == (pair["reason"] is not None)
    if result["srm"]["sequential_p"] is None and result["state"] != "invalid":
        assert result["srm"]["reason"] is not None
    assert result["explanation"].endswith(".")
    assert result["would_change"].endswith(".")


def test_more_opened_than_sent_is_a_state_and_not_an_error():
    result = evaluate_one(variant("a", total_opened=2001), variant("b"))
    assert (result["state"], result["reason"]) == ("invalid", "opened_exceeds_sent")
    assert result["subject"] == "a"
    assert result["variants"][0]["open_rate"] is None


def test_a_holdout_is_shown_beside_the_variants_with_the_lift_over_it():
    result = evaluate_one(
        variant("mens", 21307, total_converted=267, assigned=21307),
        variant("womens", 21387, total_converted=189, assigned=21387),
        variant("none", 0, total_converted=122, assigned=21306, holdout=True),
        winner_metric="conversion_rate",
    )
    assert result["winner"] == "mens"
    none = result["variants"][2]
    assert none["conversion_rate"] == "0.57"
    assert none["p_value"] is None
    assert [lift["variant_group"] for lift in result["holdout_lift"]] == ["mens", "womens"]
    assert result["holdout_lift"][0]["interval"][0] > 0


def test_all_malformed_items_are_reported_at_once():
    items = [
        item(variant("a", total_opened="600"), variant("b")),
        item(variant("a"), variant("b")),
        "three",
        {"winner_metric": "open_rate"},
        {"variants": [variant("a"), variant("b")]},
        item(variant("a", total_sent=-1), variant("a", total_bounced=1.5)),
        item(variant("a", total_clicked=True), variant("b"), confidence_threshold=200),
        item(variant("a", asigned=5), variant("b"), minimum_sampel_size=5),
        item(variant("h", holdout=True), 7, variant(""), runtime_hours=-2),
        item(variant("a", weight=float("nan")), variant("b"), winner_metric="luck"),
    ]
    del items[1]["variants"][0]["total_replied"]
    assert set(faults(items)) == {
        (0, "variants[0].total_opened"),
        (1, "variants[0].total_replied"),
        (2, ""),
        (3, "variants"),
        (4, "winner_metric"),
        (5, "variants[0].total_sent"),
        (5, "variants[1].total_bounced"),
        (5, "variants"),
        (6, "variants[0].total_clicked"),
        (6, "confidence_threshold"),
        (7, "variants[0].asigned"),
        (7, "minimum_sampel_size"),
        (8, "variants[0].assigned"),
        (8, "variants[1]"),
        (8, "variants[2].variant_group"),
        (8, "runtime_hours"),
        (9, "variants[0].weight"),
        (9, "winner_metric"),
    }


def test_the_message_names_item_and_field():
    with pytest.raises(EvaluationFileInvalid, match=r"item 0, variants\[0\]\.total_sent: is missi"):
        evaluate_file([item({"variant_group": "a"} | dict.fromkeys(COUNTS[1:], 0), variant("b"))])


@pytest.mark.parametrize("document", [{}, "[]", None, 5])
def test_a_file_that_is_no_list_is_refused(document):
    assert faults(document) == [(None, "")]


def test_labels_of_other_tools_are_ignored():
    result = evaluate_one(
        variant("a", total_opened=600, subject_line="Hi"), variant("b"), campaign="spring", id=7
    )
    assert result["winner"] == "a"


def test_clearing_and_runtime_come_from_the_file():
    skewed = (
        variant("a", total_opened=600, assigned=3000, weight=50),
        variant("b", total_opened=450, assigned=2000, weight=50),
    )
    assert evaluate_one(*skewed)["state"] == "srm_blocked"
    assert evaluate_one(*skewed, srm_cleared=True)["winner"] == "a"
    slow = evaluate_one(*skewed, srm_cleared=True, minimum_runtime_hours=24, runtime_hours=3)
    assert slow["reason"] == "runtime_too_short"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5000)
    | st.floats(allow_nan=True)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*COUNTS, "variants", "winner_metric", "variant_group", "assigned"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(JSON)
def test_any_file_is_evaluated_or_refused_with_its_problems(document):
    with contextlib.suppress(EvaluationFileInvalid):
        for result in evaluate_file(document):
            json.dumps(result, allow_nan=False)
