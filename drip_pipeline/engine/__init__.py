"""The verbs of the engine, one file each. A verb is one transaction (or a loop of them) and takes
`now`; it knows nothing of Dagster, of the command line or of the environment."""
