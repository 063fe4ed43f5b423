"""The job that explains one contact, started from the launchpad; as `drip contacts show`.

The contact is given by its id, and personal data is masked: Dagster keeps its event log.
"""

from typing import Annotated
from uuid import UUID

import dagster as dg
from pydantic import AfterValidator, Field

from drip_pipeline.engine.explanations.show_person import show_person
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.jobs.job_form import (
    OPERATOR_TAGS,
    JobForm,
    WithoutAddress,
    form_of,
)
from drip_pipeline.orchestration.metadata.person import explanation_metadata
from drip_pipeline.orchestration.resources import EngineResource, RunClock


def _id(text: str) -> str:
    try:
        return str(UUID(text.strip()))
    except ValueError:
        raise ValueError(
            "is not a contact's id; `drip contacts show EMAIL` shows it. An address would be"
            " stored by Dagster"
        ) from None


class ExplainForm(JobForm):
    """The contact, and perhaps a campaign."""

    contact: Annotated[str, AfterValidator(_id)] = Field(
        default="", validate_default=True, description="The contact's id, not its address."
    )
    campaign: WithoutAddress = Field(
        default="",
        description="Only this campaign (id or exact name); if the contact is not in it, why not.",
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "postgres"})
def show_contact(
    context: dg.OpExecutionContext, config: ExplainForm, engine: EngineResource, clock: RunClock
) -> None:
    """Show where a contact is, how it came there, and what happens next. Changes nothing."""
    with translate_errors("explaining a contact"):
        shown = show_person(
            engine.database,
            config.contact,
            now=clock.current(),
            campaign=config.campaign or None,
        )
    context.add_output_metadata(explanation_metadata(shown))


@dg.job(
    description="Explain one contact, given by its id: where it is, how it came there, what "
    "happens next and when, and which messages were not sent and why. Personal data is masked.",
    tags=OPERATOR_TAGS,
    config=form_of(ExplainForm, show_contact.name),
)
def explain_contact() -> None:
    """Run the only op."""
    show_contact()
