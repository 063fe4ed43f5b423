"""Social posts: platforms with their limits, Mastodon, and a generic publishing webhook.

Scheduling of posts belongs to engine/delivery.
"""
