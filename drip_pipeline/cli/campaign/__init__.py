"""Commands of `drip campaign`: publish, show, versions, diff, in-flight policies, funnel.

They parse options and print results; the use cases are in engine/publishing.
"""
