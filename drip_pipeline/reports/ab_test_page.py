"""A report as a page of its own: one HTML text with all that it needs, for phone, desk and paper.
No script, no font and no picture comes from elsewhere.
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
    judged_by_table,
    lifts_table,
    methods_table,
    pairs_table,
    variants_table,
)
from drip_pipeline.reports.wording import STATES, duration, noun, remaining, warnings

LIFTS_NOTE = "Held-out people were sent nothing, so only conversions can be compared with theirs."
METHODS_NOTE = (
    "Only the method that was chosen before the test decides. Where no sample was planned, the"
    " present one is taken as if it had been."
)


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One test, drawn and worded. `pictures`: SVG by title; `body`: the part of a page."""

    found: SplitResults
    title: str
    pictures: Mapping[str, str]
    body: str


def split_report(found: SplitResults, history: EvaluationHistory) -> SplitReport:
    """Draw and word one test."""
    figures = report_estimates(found.test, found.verdict)
    looks = _looks(found)
    pictures = _pictures(found, figures, history, looks)
    title = (
        f"{found.campaign.name}: test {found.experiment.test_number} at the split {_split(found)}"
    )
    body = _body(found, figures, pictures)
    return SplitReport(found, title, {p.title: p.svg for p in pictures}, body)


FOOTER = (
    "Opens by machines and clicks by scanners are counted apart and decide nothing. Always-valid"
    " intervals hold however often one looks."
)


def page(title: str, bodies: Sequence[str], now: datetime, *, footer: str = FOOTER) -> str:
    """The whole page."""
    foot = f"<footer>As of {_moment(now)}. {footer}</footer>"
    return html_page(title, "".join(bodies) + foot)


@dataclass(frozen=True, slots=True)
class _Picture:
    title: str
    caption: str
    svg: str


def _looks(found: SplitResults) -> dict[str, charts.BarStyle]:
    looks: dict[str, charts.BarStyle] = {}
    position = 0
    for spec in found.experiment.variants:
        looks[spec.variant_group] = charts.look(position, spec.name, is_holdout=spec.is_holdout)
        position += not spec.is_holdout
    return looks


def _pictures(
    found: SplitResults,
    figures: ReportEstimates,
    history: EvaluationHistory,
    looks: Mapping[str, charts.BarStyle],
) -> list[_Picture]:
    metric = noun(found)
    by_conversions = found.verdict.config.winner_metric is Metric.CONVERSION_RATE
    drawn = [
        _Picture(
            f"{metric.capitalize()} per variant",
            "Point: the rate. Bar: its always-valid interval. Intervals of single rates overlap"
            " longer than a difference takes to be sure.",
            charts.rates(
                [
                    charts.RateBar(
                        looks[figure.variant_group],
                        figure.value_pct,
                        figure.interval,
                        judged.sample,
                        figure.variant_group == found.winner,
                    )
                    for figure, judged in zip(figures.variants, found.verdict.variants, strict=True)
                    # What was sent nothing cannot open or click.
                    if by_conversions or not judged.is_holdout
                ],
                metric,
            ),
        )
    ]
    if history.moments:
        competing = {
            name: each
            for name, each in looks.items()
            if by_conversions or not found.counts_of(name).is_holdout
        }
        drawn.append(
            _Picture(
                f"{metric.capitalize()} over time",
                "Cumulative: everybody who counts by then.",
                charts.over_time(history, competing, metric),
            )
        )
        if history.leader is not None and history.rival is not None:
            drawn.append(
                _Picture(
                    f"Lead of {looks[history.leader].name} over {looks[history.rival].name}",
                    "In percentage points. Inside the shaded band the lead may be chance; where it"
                    " leaves the band, it decides.",
                    charts.lead_over_time(history, dict(looks)),
                )
            )
    drawn.append(_balance(found, looks))
    drawn.append(_funnel(found, looks))
    return drawn


def _balance(found: SplitResults, looks: Mapping[str, charts.BarStyle]) -> _Picture:
    specs = found.experiment.variants
    promised = sum(spec.percentage for spec in specs)
    srm = found.verdict.srm
    told = "" if srm.chi2_p is None else f" p = {srm.chi2_p:.3g} at one look"
    if srm.sequential_p is not None:
        told += f", {srm.sequential_p:.3g} at every look."
    return _Picture(
        "Who was assigned where",
        f"Bar: people of the test. Mark: the promised share.{told}",
        charts.balance(
            [
                charts.AllocationBar(
                    looks[spec.variant_group],
                    found.counts_of(spec.variant_group).assigned or 0,
                    100 * spec.percentage / promised if promised else None,
                )
                for spec in specs
            ]
        ),
    )


def _funnel(found: SplitResults, looks: Mapping[str, charts.BarStyle]) -> _Picture:
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
        for spec in found.experiment.variants:
            of = found.counts_of(spec.variant_group)
            if of.is_holdout and column != "total_converted":
                continue
            people = getattr(of, column)
            base = (of.assigned or 0) if column == "total_sent" else of.base
            share = 100 * people / base if base else None
            counts.append((looks[spec.variant_group], people, share))
        if column == "total_sent" or any(people for _, people, _ in counts):
            stages.append(charts.Stage(name, counts))
    return _Picture(
        "Funnel per variant",
        "Unique people; percent of those sent (sent: of those assigned; held out: of those"
        " assigned). Stages nobody reached are left out.",
        charts.funnel(stages, list(looks.values())),
    )


def _body(found: SplitResults, figures: ReportEstimates, pictures: Sequence[_Picture]) -> str:
    badge, tone = STATES.get(found.state, (found.state, "open"))
    experiment = found.experiment
    ran = ((experiment.ended_at or found.as_of) - experiment.started_at).total_seconds() / 3600
    told = warnings(found)
    facts = [
        ("What would change it", found.would_change()),
        ("How long it may still take", remaining(found)),
        (
            "Run time",
            f"{duration(max(0.0, ran))}, from {_moment(experiment.started_at)}"
            + (f" to {_moment(experiment.ended_at)}" if experiment.ended_at else ""),
        ),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{escape(words)}</dd>" for name, words in facts)
    figures_html = "".join(
        f"<figure><h3>{escape(p.title)}</h3>{p.svg}<figcaption>{escape(p.caption)}</figcaption>"
        "</figure>"
        for p in pictures
    )
    head = (
        f"<header><p class=where>A/B test {experiment.test_number} at the split"
        f" <b>{escape(_split(found))}</b></p><h1>{escape(found.campaign.name)}</h1></header>"
    )
    verdict = (
        f"<section class='verdict {tone}'><p class=badge>{escape(badge)}</p>"
        f"<p class=sentence>{escape(found.explanation())}</p><dl>{listed}</dl></section>"
    )
    parts = [head, verdict]
    if told:
        items = "".join(f"<li>{escape(words)}</li>" for words in told)
        parts.append(f"<section class=warnings><h2>Beware</h2><ul>{items}</ul></section>")
    parts.append(f"<section class=pictures>{figures_html}</section>")
    for title, table, note in (
        ("Figures", variants_table(found, figures), found.totals_note()),
        ("Variant against variant", pairs_table(found, figures), ""),
        ("Over the holdout", lifts_table(found), LIFTS_NOTE),
        ("The same counts by each method", methods_table(found), METHODS_NOTE),
        ("How it is judged", judged_by_table(found), ""),
    ):
        if table:
            told_below = f"<p class=note>{note}</p>" if note else ""
            parts.append(f"<section><h2>{title}</h2>{table}{told_below}</section>")
    return f"<article>{''.join(parts)}</article>"


def _split(found: SplitResults) -> str:
    return found.experiment.split_node_id


def _moment(at: datetime) -> str:
    return at.strftime("%-d %b %Y, %H:%M %Z")
