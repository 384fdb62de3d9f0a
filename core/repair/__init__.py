"""The command that goes from many failures to a recipe: `python -m core.repair --pictures X --out RECIPE`."""
