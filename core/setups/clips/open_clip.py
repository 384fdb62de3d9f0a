"""Read a CLIP in open_clip's layout, as its `push_to_hf_hub` writes it, as a transformers CLIPModel.

1. `open_clip_config.json` holds `model_cfg`, the sizes of both towers where they are not the defaults, and
   `preprocess_cfg`, what is done to a picture.
2. The towers are those of transformers under other names: query, key and value lie in one matrix `in_proj`, the
   projections stand the other way round, and a LayerScale, x + gamma * (W h + b), goes into W and b.
3. Whatever CLIPModel would compute otherwise is refused by its name: another tower than open_clip's own ViT and its own
   text transformer, and every setting that changes what these compute.

Source: github.com/mlfoundations/open_clip at 89fb801, src/open_clip/{model,transformer,tokenizer,transform,factory}.py.
"""

import pickle
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL.Image import Resampling
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.image_processing_backends import PilBackend
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...errors import UserError
from .parts import (
    TOKENIZER_FILES,
    ClipFolder,
    Config,
    assembled,
    check_sizes,
    code_refused,
    few,
    fitted,
    known_tokens,
)

_SIZES: Mapping[str, Mapping[str, float]] = {
    "vision_cfg": {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "head_width": 64, "mlp_ratio": 4.0},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "layers": 12, "heads": 8, "mlp_ratio": 4.0},
}
"""Of the towers, with what is meant where one is not named: the defaults of `CLIPVisionCfg` and `CLIPTextCfg`."""

_HARMLESS: Mapping[str, frozenset[str]] = {
    "model_cfg": frozenset("embed_dim vision_cfg text_cfg quick_gelu custom_text nonscalar_logit_scale".split()),
    # The last norm is of one token, so it may come after the class token is taken; dropping patches is for training.
    "vision_cfg": frozenset("ls_init_value patch_dropout final_ln_after_pool pos_embed_type output_tokens".split()),
    "text_cfg": frozenset("ls_init_value pad_id bos_id eos_id hf_tokenizer_name output_tokens".split()),
    "preprocess_cfg": frozenset("size mean std fill_color".split()),
}
"""ClipSettings that are read below, or that change nothing of what is computed."""

_USUAL: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "model_cfg": {},
    "vision_cfg": {"pool_type": ("tok",), "block_type": ("default",)},
    "text_cfg": {
        "pool_type": ("argmax", "eos"),
        "block_type": ("default",),
        "text_arch": ("clip",),
        "proj_type": ("linear",),
    },
    "preprocess_cfg": {
        "mode": ("RGB",),
        "interpolation": ("bicubic", "bilinear", "random"),
        "resize_mode": ("shortest", "squash"),
    },
}
"""ClipSettings that may have these values. Every other setting has to be off."""

_CALLED = {
    "timm_model_name": "a vision tower of timm's",
    "attentional_pool": "CoCa's attentional pooling",
    "multimodal_cfg": "CoCa's text decoder",
    "embed_cls": "CoCa's text tower",
    "hf_model_name": "a text tower of transformers'",
    "no_ln_pre": "a vision tower without a norm before its layers",
    "no_causal_mask": "a text tower that also reads backwards",
    "init_logit_bias": "a sigmoid for a softmax, as in SigLIP",
}
"""What the settings are that are off in open_clip's own towers and on in others."""

_OUTER: Mapping[str, str] = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
"""The weights outside the layers, and what transformers calls them."""
_TURNED = ("visual.proj", "text_projection")
"""Those that open_clip multiplies from the right, x W, and transformers as a linear layer, W x."""
_INNER: Mapping[str, str] = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""The same inside a layer."""
_SCALED: Mapping[str, str] = {"ls_1": "self_attn.out_proj", "ls_2": "mlp.fc2"}
"""What a LayerScale multiplies."""
_LAYER = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.([\w.]+)\.(\w+)")


class OpenClipFolder(ClipFolder):
    """The files that open_clip's `push_to_hf_hub` writes."""

    CONFIG: ClassVar[str] = "open_clip_config.json"
    SETTINGS: ClassVar[tuple[str, ...]] = (CONFIG, *TOKENIZER_FILES)
    WEIGHTS: ClassVar[str] = (
        "open_clip_model.safetensors|open_clip_pytorch_model.safetensors|open_clip_pytorch_model.bin"
    )

    def config(self) -> Config:
        """What `model_cfg` says."""
        model = self._section("model_cfg")
        vision, text = self._tower("vision_cfg"), self._tower("text_cfg")
        activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
        vision_config = {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_size": vision["width"],
            "intermediate_size": int(vision["width"] * vision["mlp_ratio"]),
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision["head_width"],
            "hidden_act": activation,
        }
        text_config = {
            "vocab_size": text["vocab_size"],
            "max_position_embeddings": text["context_length"],
            "hidden_size": text["width"],
            "intermediate_size": int(text["width"] * text["mlp_ratio"]),
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "hidden_act": activation,
            "eos_token_id": self._end(text["vocab_size"]),
        }
        projection = model.get("embed_dim", 0)
        check_sizes(self.where, vision_config, text_config, {"projection_dim": projection})
        return CLIPConfig(vision_config=vision_config, text_config=text_config, projection_dim=projection)

    def image_processor(self, config: Config) -> PilBackend:
        """What `preprocess_cfg` says, for pictures of the model's size, whatever it says of the size.

        Where an odd number of pixels is cut off, transformers cuts one more on the other side than torchvision does.
        """
        told, side = self._section("preprocess_cfg"), config.vision_config.image_size
        square = {"height": side, "width": side}
        squash = told.get("resize_mode") == "squash"
        processor = CLIPImageProcessorPil(
            size=square if squash else {"shortest_edge": side},
            crop_size=square,
            do_center_crop=not squash,
            resample=Resampling.BILINEAR if told.get("interpolation") == "bilinear" else Resampling.BICUBIC,
            image_mean=self._colour("mean", OPENAI_CLIP_MEAN),
            image_std=self._colour("std", OPENAI_CLIP_STD),
        )
        return fitted(self.where, processor, side)

    def tokenizer(self, config: Config) -> Tokenizer:
        """CLIP's own, or that of the repository which `hf_tokenizer_name` names, from the files that lie here.

        open_clip also mends wrongly decoded characters and HTML's entities in a text; this tokenizer does not.
        """
        named = self._section("text_cfg").get("hf_tokenizer_name")
        if named:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        else:
            tokenizer = CLIPTokenizer.from_pretrained(self.folder, local_files_only=True)
        known_tokens(self.where, tokenizer, config)
        if tokenizer.eos_token_id != config.text_config.eos_token_id:
            raise UserError(
                f"The CLIP in {self.where} reads a text at the id {config.text_config.eos_token_id}, and its tokenizer "
                f"ends one with {tokenizer.eos_token_id}. Put the right tokenizer there, or choose another CLIP."
            )
        return tokenizer

    def model(self, config: Config) -> PreTrainedModel:
        """Its weights under transformers' names."""
        return assembled(self.where, config, self._translated(self._stored()))

    # ClipSettings

    def _section(self, name: str) -> dict[str, Any]:
        """A table of the file. Raises UserError where something in it makes a tower another than transformers'."""
        table = self.table(self.CONFIG)
        section = table.get("model_cfg") if name.endswith(("vision_cfg", "text_cfg")) else table
        section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise UserError(f"{self.CONFIG} of the CLIP in {self.where} lacks {name}. Choose another CLIP.")
        told = {key: value for key, value in section.items() if value not in (None, False, "", {}, [])}
        if isinstance(told.get("layers"), list):
            raise self._other("a ResNet for its vision tower", "layers", told["layers"])
        fine = _HARMLESS[name] | _SIZES.get(name, {}).keys()
        for key in sorted(told.keys() - fine, key=lambda key: (key not in _CALLED, key)):
            if told[key] not in _USUAL[name].get(key, ()):
                raise self._other(
                    _CALLED.get(key, f"a setting of {name} that is none of its own towers'"), key, told[key]
                )
        return told

    def _other(self, what: str, key: str, value: object) -> UserError:
        shown = f" = {value!r:.60}" if isinstance(value, str | int | float) else ""
        return UserError(
            f"The CLIP in {self.where} is open_clip's, with {what} ({key!r:.60}{shown}). Of open_clip's, only its own "
            "ViT with its own text transformer can be read: choose such a CLIP, or one of transformers'."
        )

    def _tower(self, name: str) -> dict[str, Any]:
        """The sizes of a tower."""
        told = self._section(name)
        sizes = {key: told.get(key, usual) for key, usual in _SIZES[name].items()}
        for key, size in sizes.items():
            if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:  # a square
                sizes[key] = size = size[0]
            whole = key != "mlp_ratio"
            if isinstance(size, bool) or not isinstance(size, int if whole else int | float) or not 0 < size < 1 << 31:
                shown = repr(size)[:40] if isinstance(size, str | int | float) else "no number"
                raise UserError(f"{name} of the CLIP in {self.where} has {shown} for {key}. Choose another CLIP.")
        return sizes

    def _end(self, tokens: int) -> int:
        """The id of the token at which a text is read: the highest, or the one that is named."""
        text = self._section("text_cfg")
        if text.get("pool_type") != "eos":
            return tokens - 1
        end = text.get("eos_id")
        if not isinstance(end, int) or end == 2:  # which transformers takes for the highest id, as in OpenAI's files
            raise self._other("a text tower that is read at a token transformers does not read at", "eos_id", end)
        return end

    def _colour(self, name: str, usual: list[float]) -> list[float]:
        """Mean or deviation of the three colours; one number stands for three."""
        told = self._section("preprocess_cfg").get(name, usual)
        colours = told if isinstance(told, list) else [told] * 3
        if len(colours) != 3 or not all(isinstance(c, int | float) and abs(c) < 256 for c in colours):
            raise UserError(f"preprocess_cfg of the CLIP in {self.where} has no three numbers for {name}. Correct it.")
        if name == "std" and min(colours) <= 0:
            raise UserError(f"preprocess_cfg of the CLIP in {self.where} has a std that is not positive. Correct it.")
        return colours

    # Weights

    def _stored(self) -> dict[str, Tensor]:
        """The weights by open_clip's names, also those of a checkpoint of its training or of a CustomTextCLIP."""
        (path,) = self.weights()
        stored: Any
        if path.suffix == ".safetensors":
            stored = load_file(path)
        else:
            try:
                stored = torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                raise code_refused(self.where) from error
            stored = stored.get("state_dict", stored) if isinstance(stored, dict) else {}
        return {
            name.removeprefix("module.").removeprefix("text."): weight
            for name, weight in stored.items()
            if isinstance(weight, Tensor)
        }

    def _translated(self, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same weights by transformers' names."""
        named: dict[str, Tensor] = {}
        scales: dict[str, Tensor] = {}
        strange = []
        for name, weight in stored.items():
            match = _LAYER.fullmatch(name)
            if name in _OUTER:
                named[_OUTER[name]] = weight.T.contiguous() if name in _TURNED else weight
            elif match is None:
                strange += [name] if name != "attn_mask" else []  # the causal mask, which older files hold
            else:
                visual, number, part, kind = match.groups()
                layer = f"{'vision' if visual else 'text'}_model.encoder.layers.{number}"
                if part in _INNER:
                    named[f"{layer}.{_INNER[part]}.{kind}"] = weight
                elif part == "attn" and kind in ("in_proj_weight", "in_proj_bias"):
                    for which, third in zip("qkv", weight.chunk(3), strict=True):
                        named[f"{layer}.self_attn.{which}_proj.{kind.removeprefix('in_proj_')}"] = third
                elif part in _SCALED and kind == "gamma":
                    scales[f"{layer}.{_SCALED[part]}"] = weight.float()
                else:
                    strange.append(name)
        if strange:
            raise UserError(
                f"The CLIP in {self.where} has weights that open_clip's own towers have not: {few(sorted(strange))}. "
                "Choose another CLIP."
            )
        for name, gamma in scales.items():
            for kind, scale in (("weight", gamma[:, None]), ("bias", gamma)):
                named[f"{name}.{kind}"] = scale * named[f"{name}.{kind}"].float()
        if "logit_scale" in named:
            named["logit_scale"] = named["logit_scale"].reshape(())
        return named
