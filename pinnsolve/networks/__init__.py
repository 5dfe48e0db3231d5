"""Approximations: maps from coordinates to fields."""
