"""Recipe of a dictionary training: sizes, tokens and steps."""

from __future__ import annotations

from dataclasses import dataclass

from simple_parsing import field

from ..errors import UserError


@dataclass(frozen=True)
class DictionaryRecipe:
    """Everything that decides what the dictionary training makes, but for the CLIP and the collection."""

    levels: tuple[int, ...] = (360, 800)
    """sizes of which the first components have to reconstruct alone; the last is that of the dictionary, and a single
    one makes a plain BatchTopK [2048 16384]"""
    k: int = 12
    """components active at a token, on average over a batch [32]"""
    class_token_share: float = 0.5
    """share of a batch that is drawn from class tokens, where patches are in scope as well"""
    samples: int = 4_500_000
    """tokens seen in all [100000000]"""
    batch: int = 1_024
    """tokens in a step, over all processes [4096]"""
    learning_rate: float = 1e-3
    """Adam's, constant after the warm-up and falling linearly to a tenth over the last fifth [0.0003]"""
    warm_up: int = 100
    """steps over which it rises, at most a tenth of all [1000]"""
    dead_after: int = 100
    """steps without firing after which a component is revived, at most a fifth of all [1000]"""
    buffer: int = 32_000
    """pictures whose residuals are held at a time, over all processes"""
    seed: int = 1
    """of the weights and the order of tokens"""
    full_precision: bool = field(False, action="store_true")
    """store float32, not float16"""

    def __post_init__(self) -> None:
        """Raise UserError for numbers that nothing can be trained with."""
        levels = (0, *self.levels)
        fits = {
            f"The levels are {self.levels}. Name sizes above 0, each larger than the last.": len(levels) > 1
            and all(less < more for less, more in zip(levels, levels[1:], strict=False)),
            f"{self.k} components cannot be active of {levels[-1]}. Let k be from 1 to the size.": 1
            <= self.k
            <= levels[-1],
            f"The class token's share is {self.class_token_share:g}. It is from 0 to 1.": 0
            <= self.class_token_share
            <= 1,
            f"{self.samples} tokens in batches of {self.batch} make no step. See more tokens.": 1
            <= self.batch
            <= self.samples,
            f"The learning rate is {self.learning_rate:g}. Take one above 0.": self.learning_rate > 0,
            f"A buffer of {self.buffer} pictures holds nothing. Hold 1 or more.": self.buffer >= 1,
            f"The warm-up takes {self.warm_up} steps. Take 0 or more.": self.warm_up >= 0,
            f"A component cannot be dead after {self.dead_after} steps. Wait for 1 or more.": self.dead_after >= 1,
        }
        for sentence, holds in fits.items():
            if not holds:
                raise UserError(sentence)
