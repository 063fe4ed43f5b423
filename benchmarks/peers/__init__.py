"""Other engines through the same five nodes, each in its own process and in the best configuration
found. They keep only their own state: no events, outbox or outcomes, which ours writes too.
"""
