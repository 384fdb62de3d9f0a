"""What comes in: one picture, the examples, and collections (folders, archives, data sets, scenes)."""
