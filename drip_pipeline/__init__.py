"""A drip-campaign engine on PostgreSQL, with Dagster as its clockwork.

Rooms, and the one direction in which they may import each other, are held by import-linter (see
`pyproject.toml`).
"""

from __future__ import annotations

__version__ = "0.1.0"
