"""EleutherAI's sparsify: one folder per hookpoint, `cfg.json` and `sae.safetensors`.

The SAELens converter for these files transposes W_dec and fails on them, so they are read here.
"""

from __future__ import annotations

from saematch.checkpoints.canonical import Weights
from saematch.checkpoints.checkpoint import Checkpoint
from saematch.checkpoints.sites import parse_hook
from saematch.sae.sae import SAE, Site

NAME = "sparsify"


def detect(checkpoint: Checkpoint) -> bool:
    return "cfg.json" in checkpoint.configs and checkpoint.has(
        "encoder.weight", "W_dec", "encoder.bias", "b_dec"
    )


def read(checkpoint: Checkpoint) -> SAE:
    """ReLU and then the k largest (or the largest of k groups); b_dec centres unless `transcode`.

    Raises:
        CheckpointError: `cfg.json` lacks k or disagrees with the shapes.
    """
    config = checkpoint.configs["cfg.json"]
    d_sae, d_out = checkpoint.size("encoder.bias"), checkpoint.size("b_dec")
    # 0 stands for d_in * expansion_factor
    expected = config.get("num_latents") or d_sae
    if expected != d_sae:
        raise checkpoint.error(f"encoder.bias has {d_sae} entries", f"num_latents = {expected}")
    k = checkpoint.number(config, "k")
    if not k:
        raise checkpoint.error(f"cfg.json has k = {k}", "k, the number of features kept per token")
    activation = config.get("activation", "topk")
    if activation not in ("topk", "groupmax"):
        raise checkpoint.error(f"cfg.json has activation {activation!r}", "'topk' or 'groupmax'")
    if config.get("signed"):
        activation = "abs_topk"
    d_in = checkpoint.tensors.shape("encoder.weight")[-1]
    transcode = bool(config.get("transcode", False))
    weights = Weights(
        W_enc=checkpoint.read("encoder.weight", d_sae, d_in).T,
        W_dec=checkpoint.read("W_dec", d_sae, d_out),
        b_enc=checkpoint.read("encoder.bias", d_sae),
        b_dec=checkpoint.read("b_dec", d_out),
    )
    skip = checkpoint.read("W_skip", d_out, d_in).T if checkpoint.has("W_skip") else None
    site = _site(checkpoint, transcode)
    checkpoint.left_out()
    run = checkpoint.configs.get("../config.json", {})
    return weights.sae(
        checkpoint.conventions(
            NAME,
            "W_dec",
            activation=activation,
            k=k,
            centred=not transcode,
            architecture="transcoder" if transcode else activation,
            site=site,
            model=run.get("model"),
        ),
        W_skip=skip,
    )


def _site(checkpoint: Checkpoint, transcode: bool) -> Site | None:
    # the folder is the hookpoint, but for runs with several seeds, where seeds lie inside it
    for part in reversed(checkpoint.path.split("/")[:-1]):
        site = parse_hook(part)
        if site.layer is not None or part == "embed_tokens":
            # a transcoder is named after the module that it imitates, whose input it reads
            return parse_hook(f"{part}.input", part) if transcode else site
    return checkpoint.site()
