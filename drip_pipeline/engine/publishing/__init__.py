"""Publishing: validation against the workspace, versions, drafts, in-flight policies, plans.

Pure rules of definitions belong to domain/.
"""
