"""A tick: work units, the loop over batches and deliveries, the summary of a run.

What one batch does belongs to execution/ and delivery/.
"""
