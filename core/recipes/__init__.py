"""Recipes: an edit saved with what it needs and what was seen of it, and a CLIP with that edit in it."""

from .files import load_recipe, save_recipe
from .making import check_setup, claim_of, make_recipe
from .recipe import Claim, Recipe, RecipeFacts
from .sharing import push_recipe
from .steered_clip import apply_recipe

__all__ = [
    "Claim",
    "Recipe",
    "RecipeFacts",
    "apply_recipe",
    "check_setup",
    "claim_of",
    "load_recipe",
    "make_recipe",
    "push_recipe",
    "save_recipe",
]
