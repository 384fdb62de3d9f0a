"""Targets: what a question can be about, one implementation a file."""

from .classes import ClassTarget, default_target
from .picture import PictureTarget, similarity_to
from .target import Target

__all__ = ["ClassTarget", "PictureTarget", "Target", "default_target", "similarity_to"]
