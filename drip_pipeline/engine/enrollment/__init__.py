"""Enrollment: audiences, entry triggers, the webhook trigger.

Importing contacts belongs to contacts/.
"""
