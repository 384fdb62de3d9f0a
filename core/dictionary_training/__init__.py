"""The command that trains a dictionary (SAE) for any CLIP: python -m core.dictionary_training."""
