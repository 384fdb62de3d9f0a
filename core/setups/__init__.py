"""Setups: from a catalog entry to files, to a checked CLIP with its dictionary, to the pool that visitors share."""
