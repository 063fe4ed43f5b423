"""`drip demo`, the first command of the README, with fewer contacts than by default."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from drip_pipeline.db.connection import Database
from drip_pipeline.settings import CHECKOUT


def test_the_demo_runs_all_contacts_to_the_end(database: Database, tmp_path: Path):
    command = [sys.executable, "-m", "drip_pipeline.cli", "demo", "--contacts", "300", "--force"]
    environment = {
        **os.environ,
        "DRIP_DATABASE_URL": database.url,
        "DRIP_DAGSTER_DATABASE_URL": f"{database.url}_dagster",
        "DRIP_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [*command, "--json"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert [row["campaign"] for row in result["campaigns"]] == [
        "Onboarding",
        "Win-back",
        "Newsletter subjects",
    ]
    for row in result["campaigns"]:
        assert row["balanced"]
        assert row["entered"] == row["completed"] + row["exited"] > 0
        assert (row["active"], row["failed"]) == (0, 0)
    assert result["events"] > 0
    rules = result["rules"]
    assert rules["held_by_quiet_hours"] > 0
    assert rules["held_by_cap"] > 0
    assert rules["sent_after_goal"] == 0
    assert Path(result["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
