"""The table of SAELens' loaders: for each a made-up file, and what must come of reading it."""

# a table has long lines
# ruff: noqa: E501

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from . import made_up
from .made_up import D_IN, D_SAE, Files

SIZES = {"d_in": D_IN, "d_sae": D_SAE}
ROOT = D_IN**0.5


@dataclass(frozen=True)
class Row:
    """One file: which of SAELens' loaders reads it, and what must come of it."""

    loader: str
    name: str  # release:sae_id, or for a loader without a release org/repo/path
    write: Callable[[Files], None]
    hook: str | None = None  # where ours reads
    hook_out: str | None = None
    family: str = ""
    note: str = ""  # something that ours must say
    takes_mean_out: bool = False  # theirs is for a model that has no mean there
    theirs_is_wrong: str = ""
    mend: Callable[[dict, dict], None] | None = None  # of config and tensors, in place
    refused: str = ""
    sizes: dict = field(default_factory=lambda: SIZES)

    def __str__(self):
        return f"{self.loader}-{self.name}"


def _raw_threshold(config, tensors):
    tensors["threshold"] /= ROOT / config["_norm"]


def _by_decoder_norm(config, tensors):
    tensors["threshold"] = tensors["threshold"] / tensors["W_dec"].norm(dim=1)


def _embedding_bias(config, tensors):
    tensors["b_dec"] = tensors["b_dec"] * ROOT


def _sparsify(config, tensors):
    tensors["W_dec"] = tensors["W_dec"].T.contiguous()
    config["apply_b_dec_to_input"] = True


def _behind_the_norm(config, tensors):
    config["hook_name"] = config["hf_hook_name"]


def _bias_of_new(config, tensors):
    # of the linear layer decoder, whose bias SAELens does not look for
    tensors["b_dec"] = torch.load(config["_file"], weights_only=True)["decoder.bias"]
    config["apply_b_dec_to_input"] = False


lens, gemma_3 = made_up.sae_lens, made_up.gemma_3
learnt = made_up.dictionary_learning
RES, ATT, MLP, ALL, MWHANNA = (
    "gemma-scope-2b-pt-res:",
    "gemma-scope-2b-pt-att:",
    "gemma-scope-2b-pt-mlp:",
    "gemma-scope-2-1b-pt-transcoders-all:",
    "mwhanna-qwen3-",
)
TOPK = "sae_bench_gemma-2-2b_topk_width-2pow12_date-1109:blocks.12.hook_resid_post__trainer_0"
PYTHIA = "sae_bench_pythia70m_sweep_{}_ctx128_0730:blocks.3.hook_resid_post__trainer_0"
post, hook_mlp = "blocks.{}.hook_resid_post".format, "model.layers.{}.{}".format
pre_norm, post_norm = "pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"

# fmt: off
ROWS = [
    # versions 2 to 5 of SAELens, with what its registry adds
    Row("sae_lens", "gpt2-small-res-jb:blocks.8.hook_resid_pre", partial(lens, hook_point="blocks.8.hook_resid_pre"),
        "blocks.8.hook_resid_pre", note="mean over dimensions", takes_mean_out=True),
    Row("sae_lens", "gpt2-small-mlp-tm:blocks.3.hook_mlp_out",
        partial(lens, hook_name="blocks.3.hook_mlp_out", normalize_activations="expected_average_only_in"),
        "blocks.3.hook_mlp_out", note="mean over dimensions", takes_mean_out=True),
    Row("sae_lens", "gpt2-small-resid-post-v5-32k:blocks.4.hook_resid_post",
        partial(lens, hook_name=post(4), activation_fn_str="topk", activation_fn_kwargs={"k": 5}, normalize_activations="layer_norm"),
        post(4), note="per token"),
    Row("sae_lens", "mistral-7b-res-wg:blocks.16.hook_resid_pre", partial(lens, hook_name="blocks.16.hook_resid_pre"),
        "blocks.16.hook_resid_pre", note="constant_norm_rescale"),
    Row("sae_lens", "gemma-2-2b-res-matryoshka-dc:blocks.3.hook_resid_post",
        partial(lens, architecture="jumprelu", hook_name=post(3), apply_b_dec_to_input=True), post(3)),
    Row("sae_lens", "gpt2-small-res_sce-ajt:blocks.2.hook_resid_pre", partial(lens, architecture="gated", hook_name="blocks.2.hook_resid_pre"),
        "blocks.2.hook_resid_pre"),
    Row("connor_rob_hook_z", "gpt2-small-hook-z-kk:blocks.0.hook_z", made_up.nanda, "blocks.0.attn.hook_z", family="nanda"),
    # Gemma Scope
    Row("gemma_2", RES + "layer_12/width_16k/average_l0_82", made_up.gemma_2, post(12), family="gemma_scope"),
    Row("gemma_2", ATT + "layer_0/width_16k/average_l0_104", made_up.gemma_2, "blocks.0.attn.hook_z", family="gemma_scope"),
    Row("gemma_2", MLP + "layer_0/width_16k/average_l0_119", made_up.gemma_2, "blocks.0.hook_mlp_out", family="gemma_scope"),
    Row("gemma_2", RES + "embedding/width_4k/average_l0_6", made_up.gemma_2, "hook_embed", family="gemma_scope", note="sqrt(d_model)",
        theirs_is_wrong="W_enc and W_dec are brought to the scale of the stream, b_dec is not", mend=_embedding_bias),
    Row("gemma_2_transcoder", "gemma-scope-2b-pt-transcoders:layer_5/width_16k/average_l0_87", made_up.gemma_2,
        "blocks.5.ln2.hook_normalized", "blocks.5.hook_mlp_out", family="gemma_scope", sizes={**SIZES, "d_out": D_IN}),
    # Gemma Scope 2, with and without a config.json
    Row("gemma_3", "gemma-scope-2-1b-pt-res-all:layer_7_width_16k_l0_small", partial(gemma_3, reads=hook_mlp(7, "output")),
        hook_mlp(7, "output"), family="gemma_scope_2"),
    Row("gemma_3", "gemma-scope-2-1b-pt-res-all:layer_8_width_16k_l0_small", gemma_3, post(8), family="gemma_scope_2", note="guessed"),
    Row("gemma_3", "gemma-scope-2-1b-pt-att-all:layer_7_width_16k_l0_small", gemma_3,
        hook_mlp(7, "self_attn.o_proj.input"), family="gemma_scope_2", note="guessed"),
    Row("gemma_3", "gemma-scope-2-1b-pt-mlp-all:layer_7_width_16k_l0_small", gemma_3, hook_mlp(7, post_norm), family="gemma_scope_2", note="guessed"),
    Row("gemma_3", ALL + "layer_7_width_16k_l0_small_affine",
        partial(gemma_3, reads=hook_mlp(7, pre_norm), writes=hook_mlp(7, post_norm), affine=True),
        hook_mlp(7, pre_norm), hook_mlp(7, post_norm), family="gemma_scope_2",
        theirs_is_wrong="hook_mlp_in lies before the norm; the authors' config reads behind it", mend=_behind_the_norm),
    Row("gemma_3", ALL + "layer_8_width_16k_l0_small", gemma_3, hook_mlp(8, pre_norm), hook_mlp(8, post_norm), family="gemma_scope_2", note="guessed",
        theirs_is_wrong="hook_mlp_in lies before the norm; the authors' config reads behind it", mend=_behind_the_norm),
    # OpenMOSS
    Row("llama_scope", "llama_scope_lxr_8x:l0r_8x", made_up.llama_scope, post(0), note="not settled",
        theirs_is_wrong="the threshold is multiplied by the norm factor; the authors' code compares it as stored", mend=_raw_threshold),
    Row("llama_scope_r1_distill", "llama_scope_r1_distill:l0r_800m_slimpajama", made_up.llama_scope_r1, post(0), family="llamascopium"),
    Row("llama_scope_r1_distill", "llama_scope_r1_distill:l0r_800m_openr1_math", partial(made_up.llama_scope_r1, decoder_norm=True), post(0),
        family="llamascopium", theirs_is_wrong="sparsity_include_decoder_norm is not read", mend=_by_decoder_norm),
    # dictionary_learning
    Row("dictionary_learning_1", TOPK, partial(learnt, word="AutoEncoderTopK"), post(12)),
    Row("dictionary_learning_1", TOPK.replace("trainer_0", "trainer_1"), partial(learnt, word="AutoEncoderTopK", threshold=0.4), post(12)),
    Row("dictionary_learning_1", TOPK.replace("topk", "vanilla"), partial(learnt, word="AutoEncoder", bias="bias"), post(12)),
    Row("dictionary_learning_1", TOPK.replace("topk", "vanilla").replace("trainer_0", "trainer_1"),
        partial(learnt, word="AutoEncoderNew", bias="decoder.bias"), post(12),
        theirs_is_wrong="the bias of AutoEncoderNew is called decoder.bias, which is not looked for", mend=_bias_of_new),
    Row("dictionary_learning_1", PYTHIA.format("gated"), partial(learnt, word="GatedAutoEncoder", layer=3, bias="decoder_bias"), post(3)),
    Row("dictionary_learning_1", PYTHIA.format("topk"), partial(learnt, word="JumpReluAutoEncoder", layer=3), post(3)),
    Row("dictionary_learning_1", "gpt-oss-20b-andyrdt:resid_post_layer_3_trainer_0", partial(learnt, word="BatchTopKSAE", layer=3, threshold=0.4), post(3)),
    Row("dictionary_learning_1", "saebench_gemma-2-2b_width-2pow14_date-0107:blocks.12.hook_resid_post__trainer_0",
        partial(learnt, word="MatryoshkaBatchTopKSAE", threshold=0.4), post(12)),
    # single files
    Row("deepseek_r1", "deepseek-r1-distill-llama-8b-qresearch:blocks.19.hook_resid_post", made_up.deepseek_r1, post(19), family="dictionary_learning"),
    Row("goodfire", "goodfire-llama-3.1-8b-instruct:layer_19", made_up.goodfire, post(19)),
    Row("qwen_scope", "qwen-scope-3-1.7b-base-w32k-l50:layer4", made_up.qwen_scope, post(4), note="k = 50"),
    Row("sparsify", "EleutherAI/sae-pythia-70m-32k/layers.3", made_up.sparsify, "layers.3",
        theirs_is_wrong="W_dec is transposed, and normalize_decoder is taken for 'not centred'", mend=_sparsify),
    Row("mwhanna_transcoder", MWHANNA + "4b-transcoders:layer_3", made_up.mwhanna, "blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out", family="circuit_tracer"),
    Row("mwhanna_transcoder", MWHANNA + "14b-transcoders:layer_3", partial(made_up.mwhanna, config=""),
        "blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out", family="circuit_tracer", sizes={**SIZES, "d_out": D_IN}),
    # what has no encoder of one token, or writes to many places
    Row("mntss_clt_layer_transcoder", "mntss-gemma-2-2b-2.5m-clt-as-per-layer:layer_0", lambda _: None, refused="cross-layer transcoder"),
    Row("temporal", "temporal-sae-gemma-2-2b:blocks.12.hook_resid_post", lambda _: None, refused="temporal SAE"),
]
# fmt: on
