"""The report of a test as a self-contained HTML page for phone, desktop and print. It loads no
script, font or image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.experiments import Metric, ReportEstimates
from drip_pipeline.experiments import report_estimates as report_estimates
from drip_pipeline.reports import charts
from drip_pipeline.reports.ab_test_history import EvaluationHistory
from drip_pipeline.reports.style import html_page
from drip_pipeline.reports.tables import (
    config_table,
    lifts_table,
    methods_table,
    pairs_table,
    variants_table,
)
from drip_pipeline.reports.wording import STATES, duration, noun, remaining, warnings

LIFTS_NOTE = "The holdout is sent nothing, so only conversions can be compared with it."
METHODS_NOTE = (
    "Only the method chosen before the test decides. Without a planned sample, the present sample"
    " is used as if it had been planned."
)


@dataclass(frozen=True, slots=True)
class SplitReport:
    """The report of one test. `charts`: SVG by title; `body`: its HTML without the page frame."""

    results: SplitResults
    title: str
    charts: Mapping[str, str]
    body: str


def split_report(results: SplitResults, history: EvaluationHistory) -> SplitReport:
    """Build the report of one test."""
    estimates = report_estimates(results.test, results.verdict)
    styles = _styles(results)
    drawings = _charts(results, estimates, history, styles)
    number = results.experiment.test_number
    title = f"{results.campaign.name}: test {number} at the split {_split(results)}"
    body = _body(results, estimates, drawings)
    return SplitReport(results, title, {p.title: p.svg for p in drawings}, body)


FOOTER = (
    "Machine opens and scanner clicks are counted separately and do not affect the decision."
    " Always-valid intervals hold at every look."
)


def page(title: str, bodies: Sequence[str], now: datetime, *, footer: str = FOOTER) -> str:
    """Return the whole page."""
    foot = f"<footer>As of {_format_time(now)}. {footer}</footer>"
    return html_page(title, "".join(bodies) + foot)


@dataclass(frozen=True, slots=True)
class _Chart:
    title: str
    caption: str
    svg: str


def _styles(results: SplitResults) -> dict[str, charts.BarStyle]:
    styles: dict[str, charts.BarStyle] = {}
    position = 0
    for spec in results.experiment.variants:
        styles[spec.variant_group] = charts.bar_style(
            position, spec.name, is_holdout=spec.is_holdout
        )
        position += not spec.is_holdout
    return styles


def _charts(
    results: SplitResults,
    estimates: ReportEstimates,
    history: EvaluationHistory,
    styles: Mapping[str, charts.BarStyle],
) -> list[_Chart]:
    metric = noun(results)
    by_conversions = results.verdict.config.winner_metric is Metric.CONVERSION_RATE
    drawn = [
        _Chart(
            f"{metric.capitalize()} per variant",
            "Point: the rate. Bar: its always-valid interval. Intervals of single rates can overlap"
            " although their difference is significant.",
            charts.rates(
                [
                    charts.RateBar(
                        styles[estimate.variant_group],
                        estimate.value_pct,
                        estimate.interval,
                        variant.sample,
                        estimate.variant_group == results.winner,
                    )
                    for estimate, variant in zip(
                        estimates.variants, results.verdict.variants, strict=True
                    )
                    # A holdout cannot open or click.
                    if by_conversions or not variant.is_holdout
                ],
                metric,
            ),
        )
    ]
    if history.points:
        competing = {
            name: each
            for name, each in styles.items()
            if by_conversions or not results.counts_of(name).is_holdout
        }
        drawn.append(
            _Chart(
                f"{metric.capitalize()} over time",
                "Cumulative over all contacts counted so far.",
                charts.over_time(history, competing, metric),
            )
        )
        if history.leader is not None and history.rival is not None:
            drawn.append(
                _Chart(
                    f"Lead of {styles[history.leader].name} over {styles[history.rival].name}",
                    "In percentage points. A lead inside the shaded band may be chance; a lead"
                    " outside it decides.",
                    charts.lead_over_time(history, dict(styles)),
                )
            )
    drawn.append(_balance(results, styles))
    drawn.append(_funnel(results, styles))
    return drawn


def _balance(results: SplitResults, styles: Mapping[str, charts.BarStyle]) -> _Chart:
    specs = results.experiment.variants
    configured_total = sum(spec.percentage for spec in specs)
    srm = results.verdict.srm
    p_values = "" if srm.chi2_p is None else f" p = {srm.chi2_p:.3g} for one look"
    if srm.sequential_p is not None:
        p_values += f", {srm.sequential_p:.3g} for every look."
    return _Chart(
        "Assigned contacts per variant",
        f"Bar: contacts of the test. Mark: the configured share.{p_values}",
        charts.balance(
            [
                charts.AllocationBar(
                    styles[spec.variant_group],
                    results.counts_of(spec.variant_group).assigned or 0,
                    100 * spec.percentage / configured_total if configured_total else None,
                )
                for spec in specs
            ]
        ),
    )


def _funnel(results: SplitResults, styles: Mapping[str, charts.BarStyle]) -> _Chart:
    stages = []
    for name, column in (
        ("Sent", "total_sent"),
        ("Delivered", "total_delivered"),
        ("Opened", "total_opened"),
        ("Clicked", "total_clicked"),
        ("Replied", "total_replied"),
        ("Converted", "total_converted"),
    ):
        counts = []
        for spec in results.experiment.variants:
            of = results.counts_of(spec.variant_group)
            if of.is_holdout and column != "total_converted":
                continue
            contacts = getattr(of, column)
            base = (of.assigned or 0) if column == "total_sent" else of.base
            share = 100 * contacts / base if base else None
            counts.append((styles[spec.variant_group], contacts, share))
        if column == "total_sent" or any(contacts for _, contacts, _ in counts):
            stages.append(charts.Stage(name, counts))
    return _Chart(
        "Funnel per variant",
        "Unique contacts; percent of those sent (sent and holdout: of those assigned). Empty stages"
        " are left out.",
        charts.funnel(stages, list(styles.values())),
    )


def _body(results: SplitResults, estimates: ReportEstimates, drawings: Sequence[_Chart]) -> str:
    badge, tone = STATES.get(results.state, (results.state, "open"))
    experiment = results.experiment
    ran = ((experiment.ended_at or results.as_of) - experiment.started_at).total_seconds() / 3600
    caveats = warnings(results)
    summary = [
        ("Next step", results.would_change()),
        ("Estimated time to a decision", remaining(results)),
        (
            "Run time",
            f"{duration(max(0.0, ran))}, from {_format_time(experiment.started_at)}"
            + (f" to {_format_time(experiment.ended_at)}" if experiment.ended_at else ""),
        ),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in summary)
    charts_html = "".join(
        f"<figure><h3>{escape(p.title)}</h3>{p.svg}<figcaption>{escape(p.caption)}</figcaption>"
        "</figure>"
        for p in drawings
    )
    head = (
        f"<header><p class=where>A/B test {experiment.test_number} at the split"
        f" <b>{escape(_split(results))}</b></p><h1>{escape(results.campaign.name)}</h1></header>"
    )
    verdict = (
        f"<section class='verdict {tone}'><p class=badge>{escape(badge)}</p>"
        f"<p class=sentence>{escape(results.explanation())}</p><dl>{listed}</dl></section>"
    )
    parts = [head, verdict]
    if caveats:
        items = "".join(f"<li>{escape(text)}</li>" for text in caveats)
        parts.append(f"<section class=warnings><h2>Caveats</h2><ul>{items}</ul></section>")
    parts.append(f"<section class=charts>{charts_html}</section>")
    for title, table, note in (
        ("Metrics", variants_table(results, estimates), results.totals_note()),
        ("Variant against variant", pairs_table(results, estimates), ""),
        ("Over the holdout", lifts_table(results), LIFTS_NOTE),
        ("The same counts by each method", methods_table(results), METHODS_NOTE),
        ("Configuration", config_table(results), ""),
    ):
        if table:
            below = f"<p class=note>{note}</p>" if note else ""
            parts.append(f"<section><h2>{title}</h2>{table}{below}</section>")
    return f"<article>{''.join(parts)}</article>"


def _split(results: SplitResults) -> str:
    return results.experiment.split_node_id


def _format_time(at: datetime) -> str:
    return at.strftime("%-d %b %Y, %H:%M %Z")
