"""Benchmarks: what the README claims, measured on this machine."""
