"""`drip contacts show` and `set`: one contact. The other commands of the group are in
`cli/contacts.py`.
"""
