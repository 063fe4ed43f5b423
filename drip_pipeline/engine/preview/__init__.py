"""Previews and test messages: what contacts would get, without states, events or metrics."""
