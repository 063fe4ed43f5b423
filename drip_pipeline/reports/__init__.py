"""Reports as self-contained HTML pages, SVG and email: A/B tests, funnels, flow diagrams, diffs.

Values come from engine/ and experiments/; nothing is computed here.
"""
