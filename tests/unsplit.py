"""The unsplit model as what the split one is compared with."""

import torch
from torch import Tensor

from core.model.clip import SplitClip
from core.model.trace import Trace


def unsplit(clip: SplitClip, trace: Trace, difference: Tensor | None) -> Tensor:
    """The embedding by the unsplit model, which reads the pixels; a hook adds to the residual."""
    layer = clip.model.vision_model.encoder.layers[clip.layer]
    hook = layer.register_forward_hook(lambda m, i, output: None if difference is None else output + difference)
    with torch.no_grad():
        z = clip.model.get_image_features(pixel_values=clip.pixels(trace.crop[None])).pooler_output[0]
    hook.remove()
    return z


def best(z: Tensor, vectors: Tensor, said: int) -> bool:
    """Whether `said` has the highest cosine, up to rounding."""
    cosines = vectors @ (z / z.norm())
    return bool(cosines[int(said)] >= cosines.max() - 1e-6)
