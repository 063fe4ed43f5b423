"""Queries of publishing: versions, external drafts, legacy campaigns, in-flight states.

Policies are decided by engine/publishing.
"""
