"""Queries of the outbox: deliveries, broadcasts, channel accounts, flow control.

The meaning of a delivery result belongs to engine/delivery.
"""
