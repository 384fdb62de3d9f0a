"""The command that scores attribution methods by deletion, insertion and planted causes: python -m core.faithfulness."""
