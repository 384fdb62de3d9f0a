"""The command that makes a concept index: python -m core.indexing."""
