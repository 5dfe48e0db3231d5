"""Monitoring: incoming measurements against a trained solution, change detected and acted upon."""
