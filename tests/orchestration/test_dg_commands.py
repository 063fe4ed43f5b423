"""The checkout is a project of Dagster's command `dg`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from drip_pipeline.settings import CHECKOUT

DG = Path(sys.executable).with_name("dg")


def dg(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{DG.parent}{os.pathsep}{os.environ['PATH']}",
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "HOME": str(home),
    }
    return subprocess.run(
        [str(DG), *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True,
        timeout=110, check=False,
    )  # fmt: skip


def test_dg_checks_and_lists_the_definitions(tmp_path):
    checked = dg("check", "defs", home=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "All definitions loaded successfully" in checked.stdout + checked.stderr
    listed = dg("list", "defs", "--json", home=tmp_path)
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert "run_due_workflows" in {job["name"] for job in found["jobs"]}
    assert "campaign_events" in {asset["asset_key"] for asset in found["assets"]}
