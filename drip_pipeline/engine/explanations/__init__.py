"""One contact as a whole: explain where it is, how it came there, and what happens next.

The package reads what the others write. Changes of many contacts belong to contacts/.
"""
