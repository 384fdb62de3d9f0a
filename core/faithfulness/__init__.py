"""The command that scores attribution methods by deletion, insertion, planted causes: python -m core.faithfulness."""
