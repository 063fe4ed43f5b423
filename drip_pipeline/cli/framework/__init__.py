"""What all commands share: invocation, lazy groups, options, check results, output.

No command of its own belongs here.
"""
