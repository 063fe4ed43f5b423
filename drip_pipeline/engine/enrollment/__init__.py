"""Enrollment: audiences, entry terms, entry triggers, the webhook trigger.

Importing contacts belongs to contacts/.
"""
