"""`python -m tests.db.schema.write_schema`: writes sql/schema.sql anew, from an empty database of
its own on a server of its own, which it stops again. What the file contains is `schema_text`'s
business.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.queries import SQL_FOLDER
from tests.db.schema.schema_text import read_schema

SCHEMA_FILE = SQL_FOLDER / "schema.sql"
HEADING = """\
-- What sql/migrations and sql/functions build in an empty database, for reading and for seeing in a
-- review what a migration changes. Written by `make schema`; a test compares it. Where a platform's
-- roles exist, every table also has row-level security.

"""


def schema_file(database: Database) -> str:
    """The file's text, from a migrated database that was empty."""
    with database.transaction() as connection:
        return HEADING + read_schema(connection).text()


def main() -> None:
    """Write the file."""
    # The server may run as another user, who must get to the folder.
    home = Path(tempfile.mkdtemp(prefix="drip-schema-"))
    home.chmod(0o755)
    server = EmbeddedServer(home, overrides={"fsync": "off", "shared_buffers": "32MB"})
    try:
        with Database(server.ensure_running()) as database:
            migrate(database)
            SCHEMA_FILE.write_text(schema_file(database), encoding="utf-8")
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
