"""Conditions on contacts, comparison rules, local time and cron.

Reading contacts from the database belongs to engine/execution.
"""
