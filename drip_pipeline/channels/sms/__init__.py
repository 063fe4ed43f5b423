"""SMS: the Twilio channel, segment counting, phone numbers, callbacks.

Opt-out keywords of inbound SMS belong to engine/events.
"""
