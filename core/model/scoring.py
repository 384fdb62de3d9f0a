"""Scoring: how a cosine of picture and text becomes a logit, and logits become probabilities."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Scoring:
    """logit = scale * cosine + bias; probabilities are a softmax over the classes, or a sigmoid of each."""

    scale: float
    """exp of the learned scale: a logit is this times a cosine, 100 for most published CLIPs."""
    bias: float = 0.0
    """Added to every logit; none in models that were trained with a softmax, which would not see it."""
    per_class: bool = False
    """Whether the model was trained to say of each text alone whether it fits (a sigmoid), not which fits best."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits [..., C] -> what the model means by them, 0 to 1, [..., C]."""
        return logits.sigmoid() if self.per_class else logits.softmax(-1)
