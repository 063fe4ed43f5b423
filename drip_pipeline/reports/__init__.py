"""Reports of A/B tests: self-contained pages with pictures, on demand and by schedule. Figures come
from `engine/ab_results.py` and experiments/; here they are drawn and worded.
"""
