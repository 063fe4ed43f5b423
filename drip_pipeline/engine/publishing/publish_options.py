"""The options of a publication. The command line and the Dagster jobs build them once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from drip_pipeline.db.delivery.channel_accounts import MESSAGE_CATEGORIES
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.errors import NotAllowed
from drip_pipeline.settings import Settings

ALL_CHANNELS = frozenset(MESSAGE_CATEGORIES)
PolicyName = Literal["pin", "migrate", "exit"]


@dataclass(frozen=True, slots=True)
class InFlightPolicy:
    """What happens to states inside earlier versions: they stay (pin), move (migrate) or exit.

    With `migrate`, `node_map` maps a node of an earlier version to a node of the new version;
    states at other nodes stay at the node of the same id. Raises NotAllowed for a map with another
    policy.
    """

    policy: PolicyName = "pin"
    node_map: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.node_map and self.policy != "migrate":
            raise NotAllowed(
                f"the policy {self.policy} takes no node map", hint="Use --policy migrate."
            )


PIN = InFlightPolicy()


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """The options of a publication; functions that do not use an option ignore it."""

    now: datetime
    settings: Settings
    """Settings of the channels, against which the steps are checked."""
    channels: frozenset[str] = ALL_CHANNELS
    """Channel categories that messages can be sent over."""
    workspace: str | None = None
    """Name of the workspace of files that name none; created if it does not exist."""
    campaign_id: UUID | None = None
    """Publish into this campaign, whatever its name. Default: the campaign of the file's name."""
    dry_run: bool = False
    """Report what would happen and roll back."""
    description: str | None = None
    """Description of the version in the history."""
    change_type: str = "published"
    """Change type of the version in the history."""
    in_flight: InFlightPolicy = PIN
    """What happens to states inside earlier versions."""
    based_on: int | None = None
    """The version that was edited (0: none); another published version raises VersionOutdated."""
    overwrites_draft: bool = False
    """Overwrite an external draft, which would otherwise raise UnpublishedEdit."""
    actor: Actor = LIBRARY
    """Who publishes; recorded in the audit trail."""
    reason: str | None = None
    """Why; recorded in the audit trail. Default: the description of the version."""
