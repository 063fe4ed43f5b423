"""Dagster's side of the engine that its faces share: resources, the minute job with its ops, run
configuration, metadata. What the engine does stands in `engine/`.
"""

from __future__ import annotations
