"""Recipes: an edit saved with what it needs and what was seen of it, and a CLIP with that edit in it."""

from .files import load_recipe, save_recipe
from .making import make_recipe
from .recipe import Claim, Recipe, RecipeFacts
from .steered_clip import apply_recipe

__all__ = ["Claim", "Recipe", "RecipeFacts", "apply_recipe", "load_recipe", "make_recipe", "save_recipe"]
