"""Opening a language model and its tokenizer, without running any code that comes with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from saematch.errors import SaematchError, install
from saematch.files.foreign import parsing
from saematch.models.language_model import LanguageModel, is_masked
from saematch.models.untrusted import (
    check_folder,
    check_size,
    check_whole,
    quiet,
    without_kernels,
)
from saematch.numerics.hardware import emulated
from saematch.sae import shipped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHIPPED = f"{shipped.PREFIX}model"


def open_model(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> LanguageModel:
    """Open a model and its tokenizer without running any code that comes with them.

    Args:
        name: a name on the Hugging Face hub, with `@REVISION` appended if needed; a local folder;
            or `saematch:model`, the shipped one.
        device: where it runs.
        dtype: of its weights; by default as its configuration says, or float32 where that is of 16
            bits and the processor has no instructions for it.

    Raises:
        SaematchError: it cannot be read, or is neither a decoder nor an encoder alone.
    """
    try:
        import transformers
    except ImportError as error:
        raise SaematchError(
            f"language models need transformers: {install('activations')}"
        ) from error
    where, revision = _located(name)
    if Path(where).exists():
        check_folder(Path(where))
    own = {"revision": revision, "trust_remote_code": False}
    with parsing(
        name,
        say=f"cannot be opened as a language model with its tokenizer; give a name on the Hugging "
        f"Face hub, a folder, or {SHIPPED}",
    ):
        config = transformers.AutoConfig.from_pretrained(where, **own)
        if getattr(config, "is_encoder_decoder", False):
            raise SaematchError(
                f"{name} is an encoder with a decoder; saematch reads models that are one of both"
            )
        without_kernels(config, name)
        maker = transformers.AutoModelForCausalLM if _predicts(config) else transformers.AutoModel
        check_size(config, maker, where, revision)
        with quiet():
            model, told = maker.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
                where, config=config, dtype=dtype or "auto", output_loading_info=True, **own
            )
        check_whole(told, config, name)
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, **own)
    model = prepared(model)
    if dtype is None and emulated(model.dtype, torch.device(device)):
        model.float()
    model.to(torch.device(device))  # pyright: ignore[reportArgumentType]
    return LanguageModel(model, tokenizer, name)


def prepared(model: PreTrainedModel) -> PreTrainedModel:
    """The model in evaluation mode, without keeping keys and values for generation."""
    config: Any = model.config
    for part in (config, config.get_text_config()):
        part.use_cache = False
    return model.eval()


def _located(name: str) -> tuple[str, str | None]:
    if name == SHIPPED:
        return str(shipped.folder() / "model"), None
    if name.startswith(shipped.PREFIX):
        raise SaematchError(f"saematch ships no model {name!r}; it ships {SHIPPED}")
    if Path(name).expanduser().exists():
        return str(Path(name).expanduser()), None
    where, _, revision = name.partition("@")
    return where, revision or None


def _predicts(config: Any) -> bool:
    """Whether a checkpoint is a causal language model, head included."""
    from transformers.models.auto import modeling_auto as auto

    named = set(getattr(config, "architectures", None) or ())
    if named:
        return bool(named & set(_flat(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())))
    return config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not is_masked(config)


def _flat(values) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        else:
            yield from value
