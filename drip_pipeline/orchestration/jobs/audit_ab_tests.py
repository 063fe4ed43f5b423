"""The job that evaluates the A/B tests of a campaign as of a time in the past.

It writes nothing: the results are metadata of its run.
"""

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.ab_tests.results import results_as_of
from drip_pipeline.iso_times import read_time
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.job_form import (
    OPERATOR_TAGS,
    CampaignForm,
    FilledTime,
    form_of,
)
from drip_pipeline.orchestration.metadata.ab_tests import audited_metadata
from drip_pipeline.orchestration.resources import EngineResource


class AuditForm(CampaignForm):
    """The campaign, and the time."""

    as_of: FilledTime = Field(
        default="",
        validate_default=True,
        description="An ISO 8601 time such as 2026-03-02T09:00:00Z (UTC without a time zone). "
        "Events that had happened by then count, whenever they were reported.",
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def evaluate_as_of(
    context: dg.OpExecutionContext, config: AuditForm, engine: EngineResource
) -> None:
    """Count and evaluate the tests of the campaign as of that time."""
    with translate_errors("auditing"):
        as_of = read_time(config.as_of)
        tests = results_as_of(engine.database, config.campaign, as_of=as_of)
    context.add_output_metadata(audited_metadata(tests, as_of))


@dg.job(
    description="Evaluate the A/B tests of a campaign as of a time in the past, from the events "
    "that had happened by then. Stored results, evaluations and decisions do not change.",
    tags=OPERATOR_TAGS,
    config=form_of(AuditForm, evaluate_as_of.name),
)
def audit_ab_tests() -> None:
    """Run the only op."""
    evaluate_as_of()
