"""The demonstration: generated contacts and engagement events, a simulated clock, and the real
engine, jobs and assets.
"""
