"""The use cases of the engine, in packages by concern. A use case is one transaction (or a loop of
them) and takes `now`; it does not depend on Dagster, the command line or the environment.
"""
