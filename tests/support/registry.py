"""A registry like SAELens', made by hand: a suite of 62 layers, and a model that nobody knows."""

from saematch.checkpoints import saelens_registry

SUITE = "gemma-scope-2-27b-pt-res-all"
REGISTRY = """
gemma-scope-2-27b-pt-res-all:
  conversion_func: gemma_3
  model: google/gemma-3-27b-pt
  repo_id: google/gemma-scope-2-27b-pt
  saes:
{saes}
gemma-scope-2-27b-pt-res:
  conversion_func: gemma_3
  model: google/gemma-3-27b-pt
  repo_id: google/gemma-scope-2-27b-pt
  saes:
{some}
unknown-model:
  model: nobody/knows-9b
  repo_id: nobody/saes
  saes:
  - id: layer_0
    path: layer_0/width_16k
"""
ENTRY = "  - id: layer_{0}_width_{1}_l0_{2}\n    path: resid_post_all/layer_{0}_width_{1}_l0_{2}\n"


def hand_made_registry(folder, monkeypatch):
    """Put it in the place of SAELens' own: two widths and two L0s, in the order that it has."""
    path = folder / "pretrained_saes.yaml"
    every = [(n, w, l0) for n in range(62) for w in ("16k", "262k") for l0 in ("big", "small")]
    path.write_text(
        REGISTRY.format(
            saes="".join(sorted(ENTRY.format(*one) for one in every)),
            some="".join(ENTRY.format(*one) for one in every if one[0] in (0, 16, 61)),
        )
    )
    monkeypatch.setattr(saelens_registry, "available", lambda: True)
    monkeypatch.setattr(saelens_registry, "_path", lambda name: path)
