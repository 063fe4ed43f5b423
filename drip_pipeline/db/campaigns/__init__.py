"""Queries of campaigns and workspaces.

Versions and drafts belong to db/publishing.
"""
