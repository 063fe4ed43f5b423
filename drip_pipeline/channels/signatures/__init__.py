"""Signing of outgoing and verification of incoming HTTP requests.

Reading the verified bodies belongs to domain/events/providers.
"""
