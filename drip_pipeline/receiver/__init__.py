"""What comes in over HTTP: provider events, links in messages that people follow, calls that let
people into campaigns. A face, like orchestration/: it checks, keeps and answers; what is done with
it, the engine does.
"""
