"""What is stored of a person: erase it everywhere, or export it.

Erasing: `request.py` deletes the contact, and a trigger records what identifies it; `erase.py` does
the rest in steps, each of which can be repeated, called by the command and by every tick.
"""
