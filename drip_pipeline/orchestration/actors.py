"""Who starts a run, for the audit trail."""

from __future__ import annotations

from typing import Final

import dagster as dg

from drip_pipeline.engine.audit import Actor
from drip_pipeline.settings import Settings

ACTOR_TAG: Final = "drip/actor"
USER_TAGS: Final = ("user", "dagster/reporting_user")
"""Tags in which Dagster stores the signed-in user, where it knows one."""


def actor_of_run(context: dg.OpExecutionContext) -> Actor:
    """Return who started the run: its tag drip/actor, else Dagster's user, else DRIP_ACTOR, else
    the login name of the process.
    """
    tags = context.run.tags
    names = (tags.get(tag) for tag in (ACTOR_TAG, *USER_TAGS))
    return Actor.of("dagster", *names, Settings.from_env().actor)
