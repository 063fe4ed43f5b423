"""An editor process: export a campaign, add a tag, publish; repeat if the version is outdated.

Arguments: URL of the database, name of the editor, number of tags.
"""

from __future__ import annotations

import sys

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import VersionOutdated
from drip_pipeline.settings import Settings
from tests.engine.factories import NOW


def add_tags(database: Database, editor: str, count: int) -> int:
    """Add the tags one by one; return how often the version was outdated."""
    refused = 0
    for n in range(count):
        while True:
            exported = export_file(database, "Onboarding")
            tags = [*exported.file.get("tags", []), f"{editor}-{n}"]
            try:
                publish(
                    database,
                    exported.file | {"tags": tags},
                    PublishOptions(
                        now=NOW, settings=Settings.from_env({}), based_on=exported.published_version
                    ),
                )
                break
            except VersionOutdated:
                refused += 1
    return refused


if __name__ == "__main__":
    with Database(sys.argv[1]) as opened:
        sys.stdout.write(f"{add_tags(opened, sys.argv[2], int(sys.argv[3]))}\n")
