"""The guarded HTTP client of channels: address guard, header checks, classification of responses.

What is sent, and to which provider, belongs to the channel modules.
"""
