"""SMS: the Twilio channel, segment counting, phone numbers, callbacks.

Actions on inbound SMS belong to engine/events.
"""
