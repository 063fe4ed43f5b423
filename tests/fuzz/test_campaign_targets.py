"""Fuzz targets: campaign files, conditions, templates, evaluation files."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
    needs_of,
)
from drip_pipeline.domain.conditions.never_matching import never_matching
from drip_pipeline.domain.contact_fields import contact_context
from drip_pipeline.domain.definition.campaign_file import load_definition
from drip_pipeline.domain.definition.problems import from_validation
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.errors import DefinitionInvalid, StatisticsInputError, TemplateError
from drip_pipeline.experiments import evaluate_file
from drip_pipeline.settings import CHECKOUT
from tests.engine.factories import NOW
from tests.fuzz.hostile import FUZZ, TEXTS, VALUES, as_json, damaged, replaced
from tests.strategies import ALL_CHANNELS, KNOWN_CUSTOM_FIELDS, valid_files

EXAMPLES = [path.read_bytes() for path in sorted((CHECKOUT / "examples").glob("*.yaml"))]
PARSED = [yaml.safe_load(text) for text in EXAMPLES]


@FUZZ
@given(
    st.one_of(
        st.sampled_from(PARSED).flatmap(replaced).map(as_json),
        valid_files().flatmap(replaced).map(as_json),
        st.sampled_from(EXAMPLES).flatmap(damaged),
        VALUES.map(as_json),
    )
)
def test_campaign_file(raw: bytes) -> None:
    try:
        definition = load_definition(raw.decode("utf-8", "replace"))
    except DefinitionInvalid:
        return
    problems = validate(
        definition, known_custom_fields=KNOWN_CUSTOM_FIELDS, available_channels=ALL_CHANNELS
    )
    if all(problem.severity != "error" for problem in problems):
        compile_graph(definition, {})


CONDITIONS: Any = [
    {"type": "field", "operator": "==", "field": "plan", "value": "gold"},
    {"type": "field", "operator": "contains", "field": "custom_fields.a.b", "value": ["x", 1]},
    {"type": "score", "operator": ">=", "value": 60},
    {"type": "tag", "operator": "contains", "value": "vip"},
    {"type": "event", "event_type": "email_opened", "time_window": 24},
    {"type": "time", "operator": ">", "field": "last_interaction", "value": "2026-01-01"},
    {"type": "time", "operator": "<", "field": "renewal", "value": "09:30"},
    {
        "type": "composite",
        "logic": "OR",
        "sub_conditions": [
            {"type": "score", "operator": "<", "value": 5},
            {"type": "field", "operator": "!=", "field": "name", "value": "Ada"},
        ],
    },
]
EVENTS = st.dictionaries(
    st.sampled_from(["email_opened", "purchase"]),
    st.datetimes(timezones=st.timezones()),
)
CONTACTS = st.dictionaries(
    st.sampled_from(["plan", "name", "last_interaction", "renewal", "ai_score", "timezone", "a"]),
    VALUES | st.datetimes(timezones=st.timezones()),
)


@FUZZ
@given(st.sampled_from(CONDITIONS).flatmap(replaced), CONTACTS, EVENTS, st.data())
def test_condition(given_condition: Any, fields: Any, events: Any, data: st.DataObject) -> None:
    try:
        condition = Condition.model_validate(given_condition)
    except ValidationError as error:
        from_validation(error, node_id=None, where="", model=Condition)
        return
    needs_of(condition)
    list(never_matching(condition))
    zone = fields.get("timezone")
    attributes = ContactAttributes(
        contact_context({"custom_fields": fields, **fields}),
        frozenset(data.draw(st.lists(TEXTS, max_size=2))),
        events,
        NOW,
        zone if isinstance(zone, str) else None,
    )
    assert compile_condition(condition)(attributes) in (True, False)


PIECES = st.sampled_from(
    [
        "{{ name }}", "{{ a | ", "{{ name | upcase }}", "{% if name %}", "{% endif %}", "{%", "%}",
        "{{", "}}", "{% for x in (1..3) %}", "{% endfor %}", "{{ x | date: '%Y' }}", "{{ 'a' |",
        "| default: 'b' }}", "{% raw %}", "{% endraw %}", "{% comment %}", "{% endcomment %}",
        "{{ plan | plus: 1 }}", "{{ plan | divided_by: 0 }}", "{{ plan | split: ',' | join: '-' }}",
        "{{ plan[0] }}", "{{ plan.a.b }}", "{{ plan | slice: 0, 99999999999 }}", "{% assign x = ",
        "{% case plan %}", "{% when 1 %}", "{% endcase %}", "{{ plan | sort | first }}",
        "{{ plan | json }}", "{{ plan | round: 400 }}", "{{ plan | times: 1e308 }}",
        "{{ 'now' | date: '%s' }}", "{{ plan | date: '%Y-%m-%d' }}", "{{ name | truncate: -5 }}",
        "{{ plan | url_decode }}", "{{ plan | map: 'a' }}", "{{ plan | where: 'a', 1 }}",
        "{{ plan | ceil }}", "{{ plan | modulo: 0 }}", "{% unless a == empty %}", "{% endunless %}",
        "<p style='", "</p>", "\n", "\x00", "text",
    ]
)  # fmt: skip


@FUZZ
@given(st.lists(PIECES | TEXTS, max_size=8).map("".join), st.booleans(), CONTACTS)
def test_template(text: str, html: bool, fields: Any) -> None:
    assume(len(text) < 20_000)
    try:
        template = parse(text, html=html)
        rendered = template.render({**fields, "now": NOW})
        template.value({**fields, "now": NOW})
    except TemplateError:
        return
    assert isinstance(rendered, str)


COUNTS = {
    "total_sent": 1000, "total_delivered": 990, "total_opened": 300, "total_clicked": 50,
    "total_replied": 5, "total_converted": 20, "total_unsubscribed": 3, "total_bounced": 10,
    "assigned": 1010, "weight": 50, "score_sum": 200.5, "score_sum_squares": 80.25,
}  # fmt: skip
EVALUATION: Any = [
    {
        "variants": [{"variant_group": name} | COUNTS for name in ("a", "b", "c")],
        "winner_metric": metric,
        "minimum_sample_size": 100,
        "confidence_threshold": 95,
        "decision_method": method,
        "planned_sample_size": 1000,
        "runtime_hours": 48,
    }
    for metric in ("open_rate", "conversion_rate", "engagement_score")
    for method in ("fixed_horizon", "sequential")
]


@FUZZ
@given(
    st.one_of(
        st.sampled_from(EVALUATION).flatmap(lambda item: replaced([item])),
        st.sampled_from(EVALUATION).flatmap(lambda item: _hostile_counts(item)),
        VALUES,
    )
)
def test_evaluation_file(items: Any) -> None:
    try:
        evaluated = evaluate_file(items)
    except StatisticsInputError:
        return
    assert orjson.dumps(evaluated)


def _hostile_counts(item: Any) -> st.SearchStrategy[Any]:
    """Valid numbers of any size."""
    counts = st.integers(0, 10**15) | st.sampled_from([0, 1, 2, 10**15])
    variant = st.fixed_dictionaries(
        {"variant_group": st.sampled_from("abc"), **dict.fromkeys(COUNTS, counts)}
    )
    return st.lists(variant, max_size=3).map(lambda variants: [{**item, "variants": variants}])


@pytest.mark.parametrize("count", [1e308, 10**400, 2e15, float("inf")])
def test_a_count_that_cannot_be_computed_with_is_named(count: Any) -> None:
    item = {**EVALUATION[0], "variants": [{"variant_group": "a"} | COUNTS | {"total_sent": count}]}
    with pytest.raises(StatisticsInputError, match=r"total_sent: should be a whole number, 0 to"):
        evaluate_file([item])
