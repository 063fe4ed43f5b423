"""The HTTP receiver: provider webhooks, links in messages, trigger webhooks, metrics.

It verifies requests, stores them and responds; processing them belongs to engine/.
"""
