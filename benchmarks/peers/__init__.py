"""Other engines with the same five nodes, each in its own process and its fastest configuration.
They store only their own state, without events, outbox and outcomes.
"""
