"""Made-up files in the layout of each loader of SAELens, with random weights of tiny sizes."""

import json

import numpy as np
import torch
from safetensors.torch import save_file

D_IN, D_SAE = 12, 128


class Files:
    """Writes one SAE at its published place in a repository's snapshot.

    Args:
        root: the snapshot's folder.
        path: the place inside, as the registry gives it.
        norm_factor: the registry's scale of the inputs, where it has one.
    """

    def __init__(self, root, path, norm_factor=None):
        self.root, self.place, self.norm_factor = root, root / path, norm_factor
        self.generator = torch.Generator().manual_seed(5)

    def draw(self, *shape, scale=1.0):
        return torch.randn(*shape, generator=self.generator) * scale

    def weights(self, **more):
        """W_enc `(d_in, d_sae)` and W_dec `(d_sae, d_in)`, decoder rows of unequal norms."""
        return {
            "W_enc": self.draw(D_IN, D_SAE, scale=0.5),
            "W_dec": self.draw(D_SAE, D_IN) * torch.linspace(0.5, 2, D_SAE)[:, None],
            "b_enc": self.draw(D_SAE, scale=0.5),
            "b_dec": self.draw(D_IN) + 0.5,
            **more,
        }

    def threshold(self):
        return self.draw(D_SAE).abs() + 0.2

    def json(self, name, content, folder=None):
        folder = folder or self.place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))

    def safetensors(self, path, tensors):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, path)

    def torch(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)


def sae_lens(files, *, architecture="standard", tensors=None, **config):
    """As versions 2 to 5 wrote it: a flat config."""
    more = {"threshold": files.threshold()} if architecture == "jumprelu" else {}
    weights = files.weights(**more)
    if architecture == "gated":
        del weights["b_enc"]
        weights |= {name: files.draw(D_SAE) for name in ("b_gate", "b_mag", "r_mag")}
    files.safetensors(files.place / "sae_weights.safetensors", weights | (tensors or {}))
    base = {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32"}
    files.json(
        "cfg.json", {**base, "model_name": "toy", "finetuning_scaling_factor": False} | config
    )


def nanda(files, *, hook="blocks.0.attn.hook_z"):
    files.torch(files.place, files.weights())
    config = {"act_name": hook, "act_size": D_IN, "dict_size": D_SAE}
    files.json(f"{files.place.stem}_cfg.json", config, files.place.parent)


def gemma_2(files):
    tensors = files.weights(threshold=files.threshold())
    files.place.mkdir(parents=True, exist_ok=True)
    np.savez(files.place / "params.npz", **{n: v.numpy() for n, v in tensors.items()})


def gemma_3(files, *, reads=None, writes=None, affine=False):
    tensors = files.weights(threshold=files.threshold())
    tensors = {name.lower(): value for name, value in tensors.items()}
    if affine:
        tensors["affine_skip_connection"] = files.draw(D_IN, D_IN)
    files.safetensors(files.place / "params.safetensors", tensors)
    if reads:
        config = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt"}
        config |= {"hf_hook_point_in": reads, "hf_hook_point_out": writes or reads}
        files.json("config.json", config | {"affine_connection": affine})


def _linear(weights):
    return {
        "encoder.weight": weights["W_enc"].T.contiguous(),
        "encoder.bias": weights["b_enc"],
        "decoder.weight": weights["W_dec"].T.contiguous(),
        "decoder.bias": weights["b_dec"],
    }


def llama_scope(files, *, hook="blocks.0.hook_resid_post"):
    files.safetensors(files.place / "checkpoints" / "final.safetensors", _linear(files.weights()))
    norm = D_IN**0.5 / files.norm_factor
    config = {"d_model": D_IN, "d_sae": D_SAE, "hook_point_in": hook, "hook_point_out": hook}
    config |= {"jump_relu_threshold": 40.0, "act_fn": "jumprelu", "norm_activation": "dataset-wise"}
    config["dataset_average_activation_norm"] = {"in": norm, "out": norm}
    files.json("hyperparams.json", config)


def llama_scope_r1(files, *, hook="blocks.0.hook_resid_post", decoder_norm=False):
    tensors = {**_linear(files.weights()), "log_jumprelu_threshold": (files.threshold() * 9).log()}
    files.safetensors(files.place / "sae_weights.safetensors", tensors)
    config = {"d_model": D_IN, "expansion_factor": 4, "hook_point_in": hook, "hook_point_out": hook}
    config |= {"act_fn": "jumprelu", "sparsity_include_decoder_norm": decoder_norm}
    files.json("config.json", config)


def dictionary_learning(files, word, *, layer: int | None = 12, threshold=None, bias="b_dec", k=4):
    weights = files.weights()
    if word in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"):
        state = dict(weights)
        state["threshold"] = files.threshold() if threshold is None else torch.tensor(threshold)
        if word.startswith("M"):
            state |= {"k": torch.tensor(k), "group_sizes": torch.tensor([24, 40])}
    else:
        state = _linear(weights)
        state[bias] = state.pop("decoder.bias")
        if threshold is not None:
            state["threshold"] = torch.tensor(threshold)
    if word == "GatedAutoEncoder":
        del state["encoder.bias"]
        state |= {name: files.draw(D_SAE) for name in ("gate_bias", "mag_bias", "r_mag")}
    files.torch(files.place / "ae.pt", state)
    trainer = {"dict_class": word, "layer": layer, "lm_name": "google/gemma-2-2b"}
    trainer |= {
        "activation_dim": D_IN,
        "dict_size": D_SAE,
        "submodule_name": f"resid_post_layer_{layer}",
    }
    if "TopK" in word:
        trainer["k"] = k
    files.json("config.json", {"trainer": trainer, "buffer": {"ctx_len": 128}})


def deepseek_r1(files):
    files.torch(files.place, _linear(files.weights()))


def goodfire(files):
    linear = {name.replace(".", "_linear.", 1): v for name, v in _linear(files.weights()).items()}
    files.torch(files.place, linear)


def qwen_scope(files):
    weights = files.weights()
    turned = {name: weights[name].T.contiguous() for name in ("W_enc", "W_dec")}
    files.torch(files.place, weights | turned)


def sparsify(files):
    weights = files.weights()
    linear = _linear(weights)
    tensors = {name: linear[name] for name in ("encoder.weight", "encoder.bias")}
    tensors |= {"W_dec": weights["W_dec"], "b_dec": weights["b_dec"]}
    files.safetensors(files.place / "sae.safetensors", tensors)
    config = {"d_in": D_IN, "num_latents": D_SAE, "k": 4, "normalize_decoder": True}
    files.json("cfg.json", config)


def mwhanna(files, *, config="model_name: Qwen/Qwen3-4B\nfeature_input_hook: mlp.hook_in\n"):
    weights = files.weights()
    files.safetensors(files.place, weights | {"W_enc": weights["W_enc"].T})
    (files.root / "wandb-config.yaml").write_text(
        f"d_model: {{value: {D_IN}}}\nd_feature: {{value: {D_SAE}}}\nbatch_size: {{value: 8}}\n"
    )
    if config:
        (files.root / "config.yaml").write_text(config + "feature_output_hook: hook_mlp_out\n")
