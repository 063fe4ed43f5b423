"""Incoming events: files, landing folder, inbox, recipient resolution, resuming waiting states.

Event types and provider formats belong to domain/events.
"""
