"""`drip contacts show`, `set` and `erase`: one contact. The other commands of the group are in
`cli/contacts.py`.
"""
