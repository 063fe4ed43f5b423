"""Everything that is stored of one contact: reading it for an explanation.

Imports and suppressions of many contacts belong to db/contacts.
"""
