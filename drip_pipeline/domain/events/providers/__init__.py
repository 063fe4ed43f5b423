"""What providers report, translated into lines of an events file; one module per provider. Pure:
bytes and the time they came in, lines out. Checking signatures is the business of channels/.
"""
