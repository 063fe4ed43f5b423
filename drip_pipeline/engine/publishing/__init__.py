"""Publishing: validation in a workspace, versions, drafts, and states in flight.

Rules that need no database belong to domain/.
"""
