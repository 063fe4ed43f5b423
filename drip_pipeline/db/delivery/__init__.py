"""Queries of the outbox: deliveries, broadcasts, channel accounts, flow control.

What a delivery result means belongs to engine/delivery.
"""
