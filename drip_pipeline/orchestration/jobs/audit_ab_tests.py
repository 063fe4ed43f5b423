"""The job that evaluates the A/B tests of a campaign as of a time in the past.

It writes nothing: the results are metadata of its run.
"""

from datetime import datetime

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.ab_tests.results import results_as_of
from drip_pipeline.iso_times import read_time
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.ab_tests import audited_metadata
from drip_pipeline.orchestration.resources import EngineResource


class AuditConfig(dg.Config):
    """The campaign, and the time."""

    campaign: str = Field(description="The campaign's id or exact name.")
    as_of: str = Field(
        description="An ISO 8601 time such as 2026-03-02T09:00:00Z (UTC without a time zone). "
        "Events that had happened by then count, whenever they were reported."
    )

    def time(self) -> datetime:
        """Return the time. Raises ValueError if `as_of` is not a time."""
        return read_time(self.as_of)


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def evaluate_as_of(
    context: dg.OpExecutionContext, config: AuditConfig, engine: EngineResource
) -> None:
    """Count and evaluate the tests of the campaign as of that time."""
    with translate_errors("auditing"):
        tests = results_as_of(engine.database, config.campaign, as_of=config.time())
    context.add_output_metadata(audited_metadata(tests, config.time()))


@dg.job(
    description="Evaluate the A/B tests of a campaign as of a time in the past, from the events "
    "that had happened by then. Stored results, evaluations and decisions do not change.",
)
def audit_ab_tests() -> None:
    """Run the only op."""
    evaluate_as_of()
