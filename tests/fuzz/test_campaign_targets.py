"""Fuzz targets: campaign files, conditions, templates, evaluation files."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drip_pipeline.domain.compiler.api import complete
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
from drip_pipeline.domain.definition.text_formats import parse_text
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.scenarios.scenario_checks import check_scenarios
from drip_pipeline.domain.scenarios.scenario_file import read_scenarios
from drip_pipeline.domain.templates.shared_texts import SharedText, expanded
from drip_pipeline.domain.templates.templates import parse
from drip_pipeline.domain.templates.traced_templates import traced
from drip_pipeline.engine.scenarios.contact_values import ContactInvalid, contact_row
from drip_pipeline.errors import DefinitionInvalid, StatisticsInputError, TemplateError
from drip_pipeline.experiments import evaluate_file
from drip_pipeline.settings import CHECKOUT
from tests.engine.factories import NOW
from tests.fuzz.hostile import FUZZ, as_json, cases, damaged, replaced, text, value
from tests.strategies import ALL_CHANNELS, KNOWN_CUSTOM_FIELDS, valid_files

FILES = sorted((CHECKOUT / "examples").glob("*.yaml"))
EXAMPLES = [path.read_bytes() for path in FILES if ".scenarios" not in path.name]
SCENARIOS = [path.read_bytes() for path in FILES if ".scenarios" in path.name]
PARSED = [yaml.safe_load(text) for text in EXAMPLES]


def file(random: Random) -> bytes:
    """Return the bytes of a campaign file."""
    match random.randrange(10):
        case 0:
            return as_json(value(random))
        case n if n < 6:
            return as_json(replaced(random, PARSED))
        case _:
            return damaged(random, EXAMPLES)


@FUZZ
@given(raw=cases(file) | valid_files().map(as_json))
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


PARSED_SCENARIOS = [parse_text(scenarios.decode()) for scenarios in SCENARIOS]
GRAPHS = [compile_graph(complete(load_definition(example.decode())), {}) for example in EXAMPLES]


def scenario_file(random: Random) -> bytes:
    """Return the bytes of a scenario file."""
    match random.randrange(10):
        case 0:
            return as_json(value(random))
        case n if n < 6:
            return as_json(replaced(random, PARSED_SCENARIOS))
        case _:
            return damaged(random, SCENARIOS)


@FUZZ
@given(raw=cases(scenario_file), graph=st.sampled_from(GRAPHS))
def test_scenario_file(raw: bytes, graph: CampaignGraph) -> None:
    read = read_scenarios(raw.decode("utf-8", "replace"))
    assert (read.file is None) is bool(read.problems)
    for problem in [*read.problems, *check_scenarios(read, graph)]:
        assert problem.text()
    for person in read.file.persons if read.file else ():
        with suppress(ContactInvalid):
            contact_row(person.contact, created_at=NOW)


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
FIELDS = ("plan", "name", "last_interaction", "renewal", "ai_score", "timezone", "a", "x")
ZONES = (UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=23)))


def moment(random: Random) -> datetime:
    """Return a time, often near the limits of the calendar."""
    zone = random.choice(ZONES)
    limits = datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone)
    return random.choice([*limits, NOW, NOW - timedelta(days=random.randrange(4_000))])


def contact(random: Random) -> dict[str, Any]:
    """Return what a contact has by name."""
    return {
        name: moment(random) if random.random() < 0.2 else value(random)
        for name in random.sample(FIELDS, random.randrange(len(FIELDS)))
    }


def attributes(random: Random) -> ContactAttributes:
    """Return what a condition reads of a contact."""
    fields = contact(random)
    zone = fields.get("timezone")
    return ContactAttributes(
        contact_context({"custom_fields": fields, **fields}),
        frozenset(text(random) for _ in range(random.randrange(3))),
        {event_type: moment(random) for event_type in ("email_opened", "purchase")},
        NOW,
        zone if isinstance(zone, str) else None,
    )


@FUZZ
@given(data=cases(lambda random: replaced(random, CONDITIONS)), read=cases(attributes))
def test_condition(data: Any, read: ContactAttributes) -> None:
    try:
        condition = Condition.model_validate(data)
    except ValidationError as error:
        from_validation(error, node_id=None, where="", model=Condition)
        return
    needs_of(condition)
    list(never_matching(condition))
    assert compile_condition(condition)(read) in (True, False)


PIECES = (
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
        "{% render 'a' %}", "{% render 'b', x: name %}", "{% render 'c' for plan as x %}",
        "{%- render 'a' with plan -%}", "{% render a %}", "{% partial 'a' %}", "{% endpartial %}",
        "{{ x }}",
    )  # fmt: skip


def template_text(random: Random) -> str:
    """Return a template of fragments."""
    return "".join(
        text(random) if random.random() < 0.2 else random.choice(PIECES)
        for _ in range(random.randrange(9))
    )


@FUZZ
@given(source=cases(template_text), html=st.booleans(), fields=cases(contact))
def test_template(source: str, html: bool, fields: dict[str, Any]) -> None:
    try:
        template = parse(source, html=html)
        rendered = template.render({**fields, "now": NOW})
        template.value({**fields, "now": NOW})
    except TemplateError:
        return
    assert isinstance(rendered, str)


@FUZZ
@given(
    source=cases(template_text),
    partials=st.tuples(cases(template_text), cases(template_text), cases(template_text)),
    html=st.booleans(),
    fields=cases(contact),
)
def test_shared_templates(
    source: str, partials: tuple[str, str, str], html: bool, fields: dict[str, Any]
) -> None:
    shared = {name: SharedText(text, text) for name, text in zip("abc", partials, strict=True)}
    try:
        written = expanded(source, shared, html=html)
        template = parse(written, html=html)
    except TemplateError:
        return
    traced(written, html=html).trace({**fields, "now": NOW})
    try:
        assert isinstance(template.render({**fields, "now": NOW}), str)
    except TemplateError:
        return


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


def evaluation(random: Random) -> Any:
    """Return the content of an evaluation file: damaged, or with counts of any size."""
    if random.random() < 0.5:
        return replaced(random, [[item] for item in EVALUATION])
    variants = [
        {
            "variant_group": random.choice("abc"),
            **{name: random.choice([0, 1, 2, 10**15, random.randrange(1_000)]) for name in COUNTS},
        }
        for _ in range(random.randrange(4))
    ]
    return [{**random.choice(EVALUATION), "variants": variants}]


@FUZZ
@given(items=cases(evaluation))
def test_evaluation_file(items: Any) -> None:
    try:
        evaluated = evaluate_file(items)
    except StatisticsInputError:
        return
    assert orjson.dumps(evaluated)


@pytest.mark.parametrize("count", [1e308, 10**400, 2e15, float("inf")])
def test_a_count_that_cannot_be_computed_with_is_named(count: Any) -> None:
    item = {**EVALUATION[0], "variants": [{"variant_group": "a"} | COUNTS | {"total_sent": count}]}
    with pytest.raises(StatisticsInputError, match=r"total_sent: should be a whole number, 0 to"):
        evaluate_file([item])
