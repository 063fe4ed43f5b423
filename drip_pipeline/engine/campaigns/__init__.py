"""Campaigns and workspaces: lookup, status changes, the cache of compiled versions.

Publishing a campaign belongs to publishing/.
"""
