"""sae_lens' own folder, `cfg.json` and `sae_weights.safetensors`: what this project writes, and all its versions wrote.

It encodes as its architecture does, of x standardised at every token where the settings say so.
"""

import re
from pathlib import Path

from sae_lens import SAEConfig, TopKSAEConfig
from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting
from safetensors.torch import load_file

from ...errors import UserError
from ...model.dictionary import ARCHITECTURES, NORMALISATIONS, blank_sae
from .files import begins, few, inside
from .reading import STANDARDISED, Reading, built, claims_of
from .settings import json_in, k_of, one_of, whole
from .tensors import Tensors

FILE = "."


def files_of(file: str) -> tuple[str, ...]:
    """The settings and the weights."""
    return inside(file, "cfg.json"), inside(file, "sae_weights.safetensors")


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """sae_lens' own folder. Settings from before its version 6 are brought up to date by sae_lens."""
    name, weights = files_of(file)
    settings = json_in(root / name, name)
    one_of(name, settings, "architecture", ARCHITECTURES, "standard")
    for key in ("activation_fn", "activation_fn_str"):  # before version 6; later versions would not look at it
        one_of(name, settings, key, ("relu", "topk"), "relu")
    try:
        config = SAEConfig.from_dict(handle_config_defaulting(settings | {"dtype": "float32", "device": "cpu"}))
        whole(name, vars(config), "d_in")
        components = whole(name, vars(config), "d_sae")
        one_of(name, vars(config), "normalize_activations", NORMALISATIONS)
        one_of(name, vars(config), "reshape_activations", ("none",))
        for flag in ("apply_b_dec_to_input", "rescale_acts_by_decoder_norm"):
            one_of(name, vars(config), flag, (True, False), False)
        if isinstance(config, TopKSAEConfig):
            k_of(name, config.k, components)
        blank = blank_sae(config)
    except UserError:
        raise
    except Exception as error:  # whatever sae_lens makes of settings that are not its own
        what = f"{type(error).__name__}: {few([str(error)])}"
        raise UserError(f"{name} does not hold the settings of a sae_lens dictionary ({what}).") from error

    begins(root / weights, weights, None)
    try:
        found = load_file(root / weights)
    except Exception as error:  # whatever safetensors makes of bytes that are not its own
        raise UserError(f"{weights} is damaged, or not a safetensors file. Download it again.") from error
    tensors = Tensors(weights, found)
    expected = {key: tuple(parameter.shape) for key, parameter in blank.named_parameters()}
    if "log_threshold" in tensors.left and "threshold" in expected:  # until sae_lens 4
        tensors.left["threshold"] = tensors.take("log_threshold", components).exp()
    if "scaling_factor" in tensors.left:  # until sae_lens 4, unused where it is 1
        if not bool((tensors.take("scaling_factor", components) == 1).all()):
            raise UserError(f"{weights} scales its activations (scaling_factor), which cannot be done here.")
    tensors.expect(expected)
    taken = {key: tensors.take(key, *shape) for key, shape in expected.items()}
    claims = claims_of(model=config.metadata.model_name)
    if hook := re.fullmatch(r"blocks\.(\d+)\.(.+)", str(config.metadata.hook_name)):
        claims |= claims_of(layer=int(hook[1]), point=hook[2])
    formula = f"sae_lens’ “{config.architecture()}”" + STANDARDISED * (config.normalize_activations == "layer_norm")
    return (built(formula, config, taken, claims),)
