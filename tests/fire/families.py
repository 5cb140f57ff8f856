"""A small checkpoint of every family, and `load` of it as a surface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from fire.checks import sound
from fire.registry import Target, surface
from fire.seeds import random_tensors, seed

D_IN, D_SAE, K = 12, 40, 5
SITE = "blocks.3.hook_resid_post"
KINDS = {".safetensors": "safetensors", ".npz": "npz"}


def _canonical() -> dict[str, torch.Tensor]:
    return random_tensors(torch.Generator().manual_seed(5), D_IN, D_SAE)


def _renamed(**names: str) -> dict[str, torch.Tensor]:
    """Weights under other names; a name that ends with `^` is stored transposed."""
    stored = _canonical()
    return {
        name.rstrip("^"): (stored[role].T if name.endswith("^") else stored[role]).contiguous()
        for role, name in names.items()
    }


def _linear(**names: str) -> dict[str, torch.Tensor]:
    return _renamed(W_enc="encoder.weight^", W_dec="decoder.weight^", b_enc="encoder.bias", **names)


def write(path: Path, tensors: dict[str, Any]) -> None:
    """Tensors in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, str(path))
    elif path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})  # pyright: ignore[reportArgumentType]
    else:
        torch.save(tensors, path)


def family(name: str, place: str, tensors, configs=None, load: str = "", more=None) -> None:
    """Registers a checkpoint: its weights file, its JSON files by place, and what is loaded."""
    configs, more = configs or {}, more or {}
    files: dict[str, Any] = {place: tensors, **more}

    @seed(f"load.{name}")
    def _(folder: Path) -> None:
        for at, content in files.items():
            write(folder / at, content if isinstance(content, dict) else content())
        for at, content in configs.items():
            (folder / at).parent.mkdir(parents=True, exist_ok=True)
            (folder / at).write_text(json.dumps(content))

    kinds = {at: KINDS.get(Path(at).suffix, "torch") for at in files}
    targets = [Target(at, kinds[at], D_SAE, weights=at == place) for at in files]
    targets += [Target(at, "json", D_SAE) for at in configs]

    @surface(f"load.{name}", f"load.{name}", *targets)
    def _(folder: Path) -> str | None:
        import saematch

        return sound(saematch.load(folder / (load or place)))


_META = {"hook_name": SITE, "model_name": "toy", "sae_lens_version": "6.0.0"}
_SAELENS = {
    "architecture": "jumprelu",
    "d_in": D_IN,
    "d_sae": D_SAE,
    "apply_b_dec_to_input": False,
    "normalize_activations": "none",
    "metadata": _META,
}
_TRAINER = {"trainer": {"layer": 3, "lm_name": "toy", "submodule_name": "resid_post_layer_3"}}


def _without(*names: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in _canonical().items() if name not in names}


def _dictionary(word: str) -> dict[str, Any]:
    return {"trainer": {**_TRAINER["trainer"], "dict_class": word}, "buffer": {"d_submodule": D_IN}}


family(
    "saelens",
    "sae/sae_weights.safetensors",
    _canonical,
    {"sae/cfg.json": _SAELENS},
    "sae",
    {"sae/sparsity.safetensors": {"sparsity": torch.linspace(-6, -1, D_SAE)}},
)
family(
    "saelens_topk",
    "sae/sae_weights.safetensors",
    lambda: _without("threshold"),
    {"sae/cfg.json": {**_SAELENS, "architecture": "topk", "k": K}},
    "sae",
)
family(
    "saelens_legacy",
    "sae/sae_weights.safetensors",
    lambda: _without("threshold"),
    {
        "sae/cfg.json": {
            "d_in": D_IN,
            "d_sae": D_SAE,
            "hook_point": SITE,
            "activation_fn_str": "relu",
            "normalize_activations": False,
        }
    },
    "sae",
)
family(
    "sparsify",
    "layers.3/sae.safetensors",
    lambda: _renamed(W_enc="encoder.weight^", b_enc="encoder.bias", W_dec="W_dec", b_dec="b_dec"),
    {"layers.3/cfg.json": {"k": K, "num_latents": D_SAE, "d_in": D_IN, "activation": "topk"}},
    "layers.3",
)
family("gemma_scope", "layer_3/width_4/average_l0_7/params.npz", _canonical)
family(
    "gemma_scope_2",
    "resid_post/layer_3_width_4_l0_small/params.safetensors",
    lambda: {
        **_renamed(W_enc="w_enc", W_dec="w_dec", b_enc="b_enc", b_dec="b_dec"),
        "threshold": _canonical()["threshold"],
        "affine_skip_connection": torch.eye(D_IN) * 0.1,
    },
    {
        "resid_post/layer_3_width_4_l0_small/config.json": {
            "architecture": "jump_relu",
            "model_name": "toy",
            "hf_hook_point_in": "model.layers.3.output",
            "hf_hook_point_out": "model.layers.3.output",
        }
    },
)
family(
    "dictionary_learning",
    "trainer_0/ae.pt",
    lambda: {
        **_linear(b_dec="b_dec"),
        "k": torch.tensor(K),
        "threshold": torch.tensor(-1.0),
    },
    {"trainer_0/config.json": _dictionary("AutoEncoderTopK")},
    "trainer_0",
)
family(
    "dictionary_learning_interrupted",
    "trainer_0/ae.pt",
    lambda: {
        "step": 100,
        "ae": {**_linear(b_dec="b_dec"), "k": torch.tensor(K), "threshold": torch.tensor(0.5)},
        "optimizer": {"state": {}},
        "config": {"dict_class": "BatchTopKSAE", "layer": 3, "k": K},
        "norm_factor": torch.tensor(2.0),
    },
)
family(
    "dictionary_learning_jumprelu",
    "trainer_0/ae.pt",
    _canonical,
    {"trainer_0/config.json": _dictionary("JumpReluAutoEncoder")},
    "trainer_0",
)
family(
    "openai",
    "resid_post_mlp/3.pt",
    lambda: {
        **_renamed(
            W_enc="encoder.weight^", W_dec="decoder.weight^", b_enc="latent_bias", b_dec="pre_bias"
        ),
        "activation": "TopK",
        "activation_state_dict": {"k": K, "postact_fn": "ReLU"},
    },
)
family(
    "goodfire",
    "toy-l3.pth",
    lambda: _renamed(
        W_enc="encoder_linear.weight^",
        W_dec="decoder_linear.weight^",
        b_enc="encoder_linear.bias",
        b_dec="decoder_linear.bias",
    ),
)
_OPENMOSS = {
    "act_fn": "jumprelu",
    "jump_relu_threshold": 0.3,
    "norm_activation": "dataset-wise",
    "dataset_average_activation_norm": {"in": 8.0, "out": 8.0},
    "hook_point_in": SITE,
    "hook_point_out": SITE,
    "sparsity_include_decoder_norm": True,
    "model_name": "toy",
    "d_model": D_IN,
}
family(
    "llama_scope",
    "Llama3_1-8B-Base-L3R-8x/checkpoints/final.safetensors",
    lambda: _linear(b_dec="decoder.bias"),
    {"Llama3_1-8B-Base-L3R-8x/hyperparams.json": _OPENMOSS},
    "Llama3_1-8B-Base-L3R-8x",
)
family(
    "llamascopium",
    "L3R/sae_weights.safetensors",
    lambda: _renamed(
        W_enc="W_E",
        W_dec="W_D",
        b_enc="b_E",
        b_dec="b_D",
        threshold="activation_function.log_jumprelu_threshold",
    ),
    {"L3R/config.json": {**_OPENMOSS, "sae_type": "sae"}},
    "L3R",
)
family(
    "qwen_scope",
    f"SAE-L0_{K}/layer3.sae.pt",
    lambda: _renamed(W_enc="W_enc^", W_dec="W_dec^", b_enc="b_enc", b_dec="b_dec"),
)
for _suffix in (".npz", ".pt", ".bin"):
    family(
        f"plain{_suffix.replace('.', '_')}",
        f"blocks.3.hook_resid_post{_suffix}",
        lambda: _without("threshold") | {"k": torch.tensor(K)},
    )


@seed("load.sharded")
def _sharded(folder: Path) -> None:
    stored = _canonical()
    halves = [{n: stored[n] for n in ("W_enc", "b_enc")}, _without("W_enc", "b_enc")]
    weight_map = {}
    for number, half in enumerate(halves, 1):
        name = f"sae_weights-{number:05}-of-00002.safetensors"
        write(folder / "sae" / name, half)
        weight_map |= dict.fromkeys(half, name)
    index = {"metadata": {"total_size": 4 * (2 * D_IN * D_SAE)}, "weight_map": weight_map}
    (folder / "sae" / "sae_weights.safetensors.index.json").write_text(json.dumps(index))
    (folder / "sae" / "cfg.json").write_text(json.dumps(_SAELENS))


@surface(
    "load.sharded",
    "load.sharded",
    Target("sae/sae_weights.safetensors.index.json", "json", D_SAE),
    Target("sae/sae_weights-00001-of-00002.safetensors", "safetensors", D_SAE, weights=True),
)
def _(folder: Path) -> str | None:
    import saematch

    return sound(saematch.load(folder / "sae"))
