"""What we know: Dagster assets in lineage order, one file per step. They call verbs and show what
came of it.
"""
