"""Email: building, preparing and sending messages over SMTP.

Rendering of templates (engine/delivery) and provider events (domain/events) do not belong here.
"""
