"""Validation of a recipe on many pictures, as a gate: do its bounds hold? A command: `python -m core.validation`."""
