"""Orchestration with Dagster: resources, jobs and their ops, run configuration, metadata.

Use cases belong to engine/; assets and sensors have packages of their own.
"""

from __future__ import annotations
