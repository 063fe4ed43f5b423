"""A drip-campaign engine on PostgreSQL, scheduled by Dagster.

The packages import each other in one direction only; import-linter checks it (see
`pyproject.toml`).
"""

from __future__ import annotations

__version__ = "0.1.0"
