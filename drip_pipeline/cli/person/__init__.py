"""`drip contacts show`, `set`, `erase` and `export`: one contact. The other commands of the group
are in `cli/contacts.py`.
"""
