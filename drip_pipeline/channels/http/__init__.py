"""The guarded HTTP client of channels: address guard, header checks, classification of responses.

Requests to a provider are built in the channel modules.
"""
