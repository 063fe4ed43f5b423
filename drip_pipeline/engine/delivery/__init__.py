"""Delivery: plan, lease, render, send, settle, recover.

Provider accounts and their limits belong to transports/.
"""
