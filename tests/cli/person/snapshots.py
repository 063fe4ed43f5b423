"""The explanations of all situations as a terminal shows them.

`python -m tests.cli.person.snapshots` writes the files again; a test compares them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from drip_pipeline.cli.person.explanation_text import explanation_text
from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.migrate import migrate
from drip_pipeline.engine.explanations.show_person import show_person
from tests.engine.explanations.situations import LATER, SITUATIONS, build

FOLDER: Final = Path(__file__).parent / "snapshots"


def file_of(name: str) -> Path:
    """The file of a situation."""
    return FOLDER / f"{name.replace(' ', '-')}.txt"


def shown_at(database: Database, name: str, width: int = 80) -> str:
    """The explanation of a situation in a terminal of this width."""
    situation = SITUATIONS[name]
    explanation = show_person(database, situation.who, now=LATER, campaign=situation.campaign)
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(explanation_text(explanation))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def write() -> None:
    """Write the snapshots of all situations."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder))
        try:
            with Database(server.ensure_running()) as database:
                migrate(database)
                build(database)
                for name in SITUATIONS:
                    file_of(name).write_text(shown_at(database, name), encoding="utf-8")
        finally:
            server.stop()


if __name__ == "__main__":
    write()
