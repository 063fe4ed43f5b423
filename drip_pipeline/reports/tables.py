"""The tables of a report as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from html import escape

from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.engine.ab_tests.results_json import evaluated_columns, rates
from drip_pipeline.experiments import DecisionMethod, ReportEstimates, evaluate_test
from drip_pipeline.reports.ab_test_history import leading_pair
from drip_pipeline.reports.wording import METHODS, STATES, noun

_NONE = "–"
MOST_COLUMNS = 6
"""A table with more variants has a row for each."""


def variants_table(results: SplitResults, estimates: ReportEstimates) -> str:
    """Return counts and evaluated columns: one column per variant, because few variants fit the
    width of a phone; of many variants, one row each.
    """
    specs = results.experiment.variants
    columns = {spec.variant_group: results.counts_of(spec.variant_group) for spec in specs}
    shares = {name: rates(results, name) for name in columns}
    evaluated = {name: evaluated_columns(results, name) for name in columns}
    of_variant = {estimate.variant_group: estimate for estimate in estimates.variants}

    def both(count: str, rate: str) -> list[str]:
        return [
            _NONE
            if counts.is_holdout and count != "total_converted"
            else f"{getattr(counts, count):,}<small>{_percent(getattr(shares[name], rate))}</small>"
            for name, counts in columns.items()
        ]

    def each(cell: Callable[[str], str]) -> list[str]:
        return [_NONE if counts.is_holdout else cell(name) for name, counts in columns.items()]

    rows = [
        ("Assigned", [f"{counts.assigned or 0:,}" for counts in columns.values()]),
        ("Sent", each(lambda name: f"{columns[name].total_sent:,}")),
        ("Delivered", both("total_delivered", "delivery_rate")),
        ("Opened", both("total_opened", "open_rate")),
        ("Opened by machines", each(lambda name: _total(results, name, "total_machine_opened"))),
        ("Clicked", both("total_clicked", "click_rate")),
        ("Replied", both("total_replied", "reply_rate")),
        ("Converted", both("total_converted", "conversion_rate")),
        ("Engagement score", each(lambda name: _percent(shares[name].engagement_score))),
        ("Unsubscribed", each(lambda name: f"{columns[name].total_unsubscribed:,}")),
        ("Bounced", each(lambda name: f"{columns[name].total_bounced:,}")),
        ("Complained", each(lambda name: f"{columns[name].total_complained:,}")),
        ("Confidence", each(lambda name: _percent(evaluated[name]["confidence_level"]))),
        ("p-value", each(lambda name: _p(evaluated[name]["p_value"]))),
        ("Chance to be best", each(lambda name: _chance(of_variant[name].chance_to_be_best))),
    ]
    heads = [
        f"{escape(spec.name)}{' ★' if evaluated[spec.variant_group]['is_winner'] else ''}"
        + (
            f"<small>{escape(spec.variant_group)}</small>"
            if spec.name != spec.variant_group
            else ""
        )
        for spec in specs
    ]
    if len(specs) > MOST_COLUMNS:
        by_variant = zip(heads, *(cells for _, cells in rows), strict=True)
        return table(["", *(name for name, _ in rows)], [list(row) for row in by_variant])
    return table(["", *heads], [[name, *cells] for name, cells in rows])


def pairs_table(results: SplitResults, estimates: ReportEstimates) -> str:
    """Return the comparison of each pair of variants; of many variants, those of the leader, or of
    the variant with the best rate.
    """
    rows = []
    best = _best(results) if len(results.experiment.variants) > MOST_COLUMNS else None
    for pair, more in zip(results.verdict.pairs, estimates.pairs, strict=True):
        if best is not None and best not in (pair.a, pair.b):
            continue
        rows.append(
            [
                f"{escape(pair.a)} against {escape(pair.b)}",
                _interval(pair.interval),
                _p(pair.decision_p),
                _p(pair.chi2_p),
                _p(more.holm_p),
            ]
        )
    heads = ["", "Difference, points", "Deciding p", "p, one look", "p, Holm"]
    return table(heads, rows, shape="stack") if rows else ""


def _best(results: SplitResults) -> str | None:
    verdict = results.verdict
    rated = [v for v in verdict.variants if not v.is_holdout and v.value_pct is not None]
    best = max(rated, key=lambda variant: variant.value_pct or 0.0, default=None)
    return verdict.leader or (best.variant_group if best else None)


def methods_table(results: SplitResults) -> str:
    """Return the verdict on the same counts by each method; the chosen method is marked."""
    config = results.test.config
    smallest = max(1, results.verdict.progress.smallest_sample)
    rows = []
    for method in DecisionMethod:
        update = {
            "decision_method": method,
            "planned_sample_size": config.planned_sample_size or smallest,
        }
        test = replace(results.test, config=config.model_copy(update=update))
        verdict = evaluate_test(test)
        leader, rival = leading_pair(verdict)
        p = None
        if leader is not None and rival is not None:
            p = verdict.pair(leader, rival).decision_p
        name = escape(METHODS[method].partition(":")[0].capitalize())
        is_chosen = method is config.decision_method
        rows.append(
            [
                f"<b>{name}</b> (chosen)" if is_chosen else name,
                _p(p),
                escape(STATES[verdict.state.value][0]),
                escape(verdict.winner or verdict.leader or _NONE),
            ]
        )
    heads = ["", "Deciding p", "State", "Leader"]
    return table(heads, rows, shape="stack") if results.verdict.pairs else ""


def lifts_table(results: SplitResults) -> str:
    """Return each variant's lift of conversions over the holdout."""
    rows = [
        [
            escape(lift.variant_group),
            _NONE if lift.difference is None else f"{lift.difference:+.2f}",
            _interval(lift.interval),
            _NONE if lift.relative is None else f"{lift.relative:+.0f} %",
            _p(lift.decision_p),
        ]
        for lift in results.lifts
    ]
    heads = ["", "More conversions, points", "Always-valid interval", "Relative", "p"]
    return table(heads, rows, shape="stack") if rows else ""


def config_table(results: SplitResults) -> str:
    """Return the configuration frozen at the start of the test."""
    config = results.experiment.statistics
    windows = {metric.value: hours for metric, hours in config.attribution_window_hours.items()}
    rows = [
        ["Winner metric", noun(results)],
        ["Method", METHODS[config.decision_method]],
        ["Confidence threshold", f"{config.confidence_threshold:g} %"],
        ["Minimum sample", f"{config.minimum_sample_size:,} contacts per variant"],
        ["Planned sample", _or_none(config.planned_sample_size, "{:,} contacts per variant")],
        ["Minimum run time", f"{config.minimum_runtime_hours:g} hours"],
        ["Maximum run time", _or_none(config.max_duration_hours, "{:g} hours")],
        [
            "Attribution windows",
            ", ".join(f"{name} {hours:g} h" for name, hours in windows.items()) or "none",
        ],
        ["Minimum lift", f"{config.minimum_lift:g} points"],
        ["Equivalence margin", _or_none(config.equivalence_margin, "{:g} points")],
        ["Guardrails", ", ".join(guardrail.value for guardrail in config.guardrails) or "none"],
        [
            "Winner",
            "automatic" if config.auto_select_winner else "needs manual confirmation",
        ],
    ]
    return table(None, [[name, escape(text)] for name, text in rows], shape="list")


def table(
    heads: Sequence[str] | None, rows: Iterable[Sequence[str]], *, shape: str = "plain"
) -> str:
    """Build a table. Cells are HTML; the first cell of a row is its heading. `shape`: `stack`
    becomes a list of rows on a narrow screen, `list` is for text instead of numbers.
    """
    head = ""
    if heads is not None:
        head = f"<thead><tr>{''.join(f'<th scope=col>{cell}</th>' for cell in heads)}</tr></thead>"
    labels = [escape(cell, quote=True) for cell in heads or ()] if "stack" in shape else []
    body = "".join(f"<tr><th scope=row>{row[0]}</th>{_cells(row, labels)}</tr>" for row in rows)
    return f'<div class="wide {shape}"><table>{head}<tbody>{body}</tbody></table></div>'


def _cells(row: Sequence[str], labels: Sequence[str]) -> str:
    if not labels:
        return "".join(f"<td>{cell}</td>" for cell in row[1:])
    pairs = zip(row[1:], labels[1:], strict=True)
    return "".join(f'<td data-label="{label}">{cell}</td>' for cell, label in pairs)


def _total(results: SplitResults, variant_group: str, column: str) -> str:
    return f"{getattr(results.totals.get(variant_group), column, 0):,}"


def _percent(value: object) -> str:
    return _NONE if value is None else f"{value} %"


def _p(value: float | Decimal | None) -> str:
    if value is None:
        return _NONE
    p = float(value)
    return "&lt; 0.0001" if p < 0.0001 else f"{p:.4f}"


def _chance(value: float | None) -> str:
    if value is None:
        return _NONE
    if value < 0.001:
        return "&lt; 0.1 %"
    return "&gt; 99.9 %" if value > 0.999 else f"{100 * value:.1f} %"


def _interval(interval: tuple[float, float] | None) -> str:
    return _NONE if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}"


def _or_none(value: float | None, shape: str) -> str:
    return "none" if value is None else shape.format(value)
