"""Shared by all commands: the `command` decorator, lazy groups, common options, output.

Contains no command.
"""
