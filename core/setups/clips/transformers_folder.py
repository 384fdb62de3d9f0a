"""Read a model of any family in the layout of transformers: config.json, weights, image processor and tokenizer."""

from typing import Any, ClassVar

from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.image_processing_backends import PilBackend

from ...errors import UserError
from ...model.families import FAMILIES
from .parts import TOKENIZER_FILES, ClipFolder, Config, assembled, check_sizes, fitted, known_tokens

_OTHERS = {
    "clip_vision_model": "the vision tower of a CLIP alone",
    "clip_text_model": "the text tower of a CLIP alone",
    "siglip2": "a SigLIP 2 of variable resolution (NaFlex), whose patches are as many as a picture needs,",
    "siglip_vision_model": "the vision tower of a SigLIP alone",
}
"""What the model types of relatives mean; others are named as they are."""


_SENTENCEPIECE = "spiece.model"
"""The tokenizer of a SigLIP, which transformers reads from this file whatever else is there."""


class TransformersFolder(ClipFolder):
    """The files that `save_pretrained` of a model and of its processor write."""

    CONFIG: ClassVar[str] = "config.json"
    SETTINGS: ClassVar[tuple[str, ...]] = (
        CONFIG,
        "preprocessor_config.json|processor_config.json",
        f"{TOKENIZER_FILES[0]}|{_SENTENCEPIECE}",
        *TOKENIZER_FILES[1:],
        f"{_SENTENCEPIECE}|",
    )
    # Safetensors come first; else the pickle, which transformers opens for tensors only.
    WEIGHTS: ClassVar[str] = (
        "model.safetensors"
        "|model.safetensors.index.json&model-*-of-*.safetensors"
        "|pytorch_model.bin"
        "|pytorch_model.bin.index.json&pytorch_model-*-of-*.bin"
    )

    def config(self) -> Config:
        """What config.json says, where it is of a whole model of a known family."""
        table = self.table(self.CONFIG)
        kind = table.get("model_type")
        if not isinstance(kind, str) or kind not in FAMILIES:
            what = _OTHERS.get(str(kind), "another model" if kind else "a model that is not transformers'")
            named = f" (model_type {kind!r:.40})" if kind else ""
            raise UserError(
                f"{self.where} holds {what}{named}. A setup needs a whole CLIP, its vision tower and its text tower "
                f"(model_type {' or '.join(f'“{each}”' for each in FAMILIES)}): choose one."
            )
        towers = [table.get(f"{tower}_config{older}") for tower in ("vision", "text") for older in ("", "_dict")]
        check_sizes(self.where, table, *towers)
        config_class: Any = FAMILIES[kind].MODELS[kind].config_class
        config = config_class.from_pretrained(self.folder, local_files_only=True)
        FAMILIES[kind].check(config, self.where)
        return config

    def image_processor(self, config: Config) -> PilBackend:
        """The kind that its settings name, on PIL whatever else is installed.

        Other backends resize a little differently, and numbers would depend on the packages of a machine.
        """
        try:
            processor = AutoImageProcessor.from_pretrained(
                self.folder, backend="pil", local_files_only=True, trust_remote_code=False
            )
        except ValueError as error:
            raise UserError(
                f"The CLIP in {self.where} has an image processor of a kind that is not known here. Set "
                "image_processor_type in its preprocessor_config.json to CLIPImageProcessor, if it is one."
            ) from error
        return fitted(self.where, processor, config.vision_config.image_size)

    def tokenizer(self, config: Config) -> PreTrainedTokenizerBase:
        """The kind that its settings name."""
        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
        return known_tokens(self.where, tokenizer, config)

    def model(self, config: Config) -> PreTrainedModel:
        """As it was saved."""
        self.weights()
        return assembled(self.where, config, self.folder)
