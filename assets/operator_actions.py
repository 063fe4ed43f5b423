"""The audit trail: one row for each change of an operator, written in the change's transaction.

An external asset, like the batch log.
"""

import dagster as dg

from drip_pipeline.orchestration.catalog import CAMPAIGNS, OWNERS, stored_in, written_by

operator_actions = dg.AssetSpec(
    "operator_actions",
    group_name=CAMPAIGNS,
    description="Who changed what, when and why: publications, pauses, enrollments, decisions, "
    "suppressions, settings. `drip audit` lists it. Runs of jobs name their actor with the tag "
    "drip/actor.",
    owners=OWNERS,
    kinds={"postgres"},
    metadata={
        **stored_in("operator_actions"),
        **written_by(operations="sql/queries/audit.sql"),
    },
)
