"""The bundled setup: a small real CLIP and SAE trained from scratch on rendered scenes with planted shortcuts.

Nothing here is needed to *use* a setup; it is how the one in ``assets/bundled/`` was made and how it is scored.
"""
