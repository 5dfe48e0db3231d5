"""Sweeps: a problem trained over seeds and settings, by several processes, with the settings that did best."""
