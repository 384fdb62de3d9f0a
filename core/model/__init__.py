"""A CLIP split at a place of its vision tower, the SAE that reads there, a traced picture, and predictions."""
