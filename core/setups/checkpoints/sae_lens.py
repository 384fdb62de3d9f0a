"""sae_lens' own folder, `cfg.json` and `sae_weights.safetensors`: what this project writes, and all its versions wrote.

It encodes as its architecture does, of x standardised at every token where the settings say so.
"""

import re
from pathlib import Path, PurePosixPath

from sae_lens import SAEConfig, TopKSAEConfig
from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting
from safetensors.torch import load_file
from torch import Tensor

from ...errors import UserError
from ...model.places import ImageEmbedding
from ...model.sae_dictionary import ARCHITECTURES, NORMALISATIONS, blank_sae
from .files import begins, few, inside
from .reading import NORMALISED, Reading, built, claims_of
from .settings import json_in, k_of, one_of, whole
from .tensors import Tensors

FILE = "."
_SETTINGS, _WEIGHTS = "cfg.json", "sae_weights.safetensors"


def files_of(file: str) -> tuple[str, ...]:
    """The settings and the weights, in the folder `file` or beside it."""
    folder = str(PurePosixPath(file).parent) if PurePosixPath(file).name in (_SETTINGS, _WEIGHTS) else file
    return inside(folder, _SETTINGS), inside(folder, _WEIGHTS)


def read(root: Path, file: str) -> tuple[Reading, ...]:
    """sae_lens' own folder. Settings from before its version 6 are brought up to date by sae_lens."""
    name, weights = files_of(file)
    settings = json_in(root / name, name)
    one_of(name, settings, "architecture", ARCHITECTURES, "standard")
    for key in ("activation_fn", "activation_fn_str"):  # before version 6; later versions would not look at it
        one_of(name, settings, key, ("relu", "topk"), "relu")
    if settings.get("normalize_activations") in (None, False):  # as its versions before 6 read it
        settings["normalize_activations"] = "none"
    try:
        config = SAEConfig.from_dict(handle_config_defaulting(settings | {"dtype": "float32", "device": "cpu"}))
        whole(name, vars(config), "d_in")
        components = whole(name, vars(config), "d_sae")
        if config.normalize_activations == "expected_average_only_in":
            raise UserError(
                f"{name} has normalize_activations = expected_average_only_in: it was trained on activations times a "
                "factor, sqrt(d_in) / their mean length, which is not in the file. Fold it in with sae_lens and save "
                "that: sae.fold_activation_norm_scaling_factor(factor); sae.save_model(folder)."
            )
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

    tensors = Tensors(weights, safetensors_in(root, weights))
    expected = {key: tuple(parameter.shape) for key, parameter in blank.named_parameters()}
    if "log_threshold" in tensors.left and "threshold" in expected:  # until sae_lens 4
        tensors.left["threshold"] = tensors.take("log_threshold", components).exp()
    scale = tensors.take("scaling_factor", components) if "scaling_factor" in tensors.left else None
    tensors.expect(expected)
    taken = {key: tensors.take(key, *shape) for key, shape in expected.items()}
    if scale is not None and settings.get("finetuning_scaling_factor"):  # until sae_lens 5: x_hat = (scale f) W_dec
        taken["W_dec"] *= scale[:, None]
    claims = claims_of(model=config.metadata.model_name) | _place(config.metadata.hook_name)
    formula = f"sae_lens’ “{config.architecture()}”" + NORMALISED[config.normalize_activations]
    return (built(formula, config, taken, claims),)


def safetensors_in(root: Path, file: str) -> dict[str, Tensor]:
    """The tensors of a file of safetensors. Raises UserError for what is none."""
    begins(root / file, file, None)
    try:
        return load_file(root / file)
    except Exception as error:  # whatever safetensors makes of bytes that are not its own
        raise UserError(f"{file} is damaged, or not a safetensors file. Download it again.") from error


def _place(hook: object) -> dict[str, object]:
    """The place of a hook's name. What is before layer L is what layer L - 1 puts out."""
    if hook == ImageEmbedding.HOOK:
        return claims_of(point=hook)
    name = re.fullmatch(r"blocks\.(\d{1,3})\.(.{1,60})", hook) if isinstance(hook, str) else None
    if name is None:
        return {}
    layer, point = int(name[1]), name[2]
    if point == "hook_resid_pre" and layer > 0:
        return claims_of(layer=layer - 1, point="hook_resid_post", hook=hook)
    return claims_of(layer=layer, point=point)
