"""The model card of what ships, with the figures measured when it was made."""

from __future__ import annotations

from pathlib import Path

from demo.corpus import SOURCES
from demo.saes import plans

HEAD = """# The language model and the SAEs that ship with saematch

A GPT-2 of 6 blocks and {d_model} dimensions ({parameters:.1f}M parameters, byte-level BPE of 4,096
tokens, 256 positions), trained from scratch on free prose, code and reference text, and {n}
sparse autoencoders on it. They are small enough to travel with the package and real enough to
show what a matching finds. They are for tests, examples and methods work; the model is no use for
anything else.

- `model/`: `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` open it.
  Matrices are stored in float16 and read into float32.
- `saes/<name>/`: SAELens format; `saematch.load("saematch:<name>")`, or SAELens'
  `SAE.load_from_disk`. `features.parquet` beside the weights holds per feature its firing
  frequency, its mean activation when active, its maximum and its top ten contexts.
- `texts/*.jsonl`: held-out text of each kind, never trained on.

The first token of every window is `<|endoftext|>` (BOS), which the tokenizer does not add by
itself; no figure here counts it. From text to features (with `transformers` installed):

```python
import saematch, torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = saematch.sae.shipped.folder() / "model"
model = AutoModelForCausalLM.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = [tokenizer.bos_token_id, *tokenizer.encode("Emma Woodhouse, handsome, clever, and rich")]
found = []  # a block's own output: hidden_states of the last layer are already normalised
hook = model.transformer.h[5].register_forward_hook(
    lambda module, inputs, output: found.append(output[0] if isinstance(output, tuple) else output)
)
with torch.no_grad():
    model(torch.tensor([ids]))
hook.remove()
features = saematch.load("saematch:resid_post_5").encode(found[0][0, 1:])  # (tokens, d_sae)
```

## The model

Held-out loss in nats per token, beside a bigram model of the same training text:

| text | model | bigram |
|---|---|---|
"""

SAES = """
## The SAEs

Trained on raw activations in float32 form (stored: matrices float16, vectors float32), decoder rows
of unit norm. Variance explained: one minus squared error over squared distance from the mean, over
all held-out tokens. L0: active features per token. Dead: never active on {described:,} tokens.
Delta-loss: loss with the reconstruction spliced in, less the model's own, in nats. Median threshold
with its 5 % and 95 % quantiles, in the site's own units.

"""

COLUMNS = (
    "name",
    "hook",
    "features",
    "activation",
    "variance explained",
    "L0",
    "dead",
    "delta-loss prose, code, reference",
    "threshold",
)

TAIL = """
Each SAE has a seed of its own. Between the two seeds of `blocks.3.hook_resid_post` the median over
features of the best decoder cosine is {stability:.2f}.

## How it was made

`python -m demo.make` in the repository: see `demo/README.md`. JumpReLU thresholds learn through a
rectangle kernel (Rajamanoharan et al., 2024); a controller moves the weight of the L0 penalty
towards a target L0; dead features are started again from what is not yet explained.

## Data and licences

The model's and the SAEs' weights: Apache-2.0, as the project. The texts they were trained on, from
which the evaluation texts and contexts are excerpts (licences in full in `texts/LICENSES.txt`):

| kind | text | licence |
|---|---|---|
"""


def write_card(folder: Path, report: dict, saes: dict, described: int, parameters: int) -> None:
    """Write `README.md` from the figures of `demo.make.package`."""
    d_model = next(iter(saes.values())).d_in
    text = HEAD.format(n=len(saes), d_model=d_model, parameters=parameters / 1e6)
    for kind, loss in report["losses"].items():
        text += f"| {kind} | {loss['model']:.3f} | {loss['bigram']:.3f} |\n"
    text += SAES.format(described=described)
    text += "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"
    for plan in plans():
        sae, f = saes[plan.name], report["saes"][plan.name]
        losses = ", ".join(f"{f[f'delta_loss_{kind}']:.2f}" for kind in report["losses"])
        threshold = "-"
        if sae.threshold is not None:
            low, middle, high = (float(sae.threshold.quantile(q)) for q in (0.05, 0.5, 0.95))
            threshold = f"{middle:.2g} ({low:.2g} to {high:.2g})"
        activation = plan.activation + (f" k={plan.l0:g}" if plan.activation == "topk" else "")
        text += (
            f"| `{plan.name}` | `{plan.hook}` | {sae.d_sae:,} | {activation} | "
            f"{f['variance_explained']:.3f} | {f['l0']:.1f} | {f['dead']:.1%} | {losses} | "
            f"{threshold} |\n"
        )
    text += TAIL.format(stability=report["seed_stability"])
    for kind, what, licence in SOURCES.values():
        text += f"| {kind} | {what} | {licence} |\n"
    (folder / "README.md").write_text(text)
