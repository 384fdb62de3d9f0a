"""Rendered pictures with planted shortcuts: scenes, how they are drawn at random, and what they hold (ground truth)."""
