"""How to match, as a user says it: each option once, with the words of its help.

No heavy import here: the command line makes its options of `MatchOptions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from saematch.activations.store import ActivationStore
    from saematch.workflows.models import GivenModel

FoldChoice = Literal["auto", "threshold", "decoder-norm", "activation", "none"]
Terms = Literal["encoder", "decoder", "both"]
KindChoice = Literal["one-to-one", "many-to-one"]
CosineView = Literal["decoder", "encoder"]
NullChoice = Literal["covariance", "rotation", "none"]
LongChoice = Literal["split", "truncate"]
DtypeChoice = Literal["float32", "bfloat16", "float16"]
TestChoice = Literal["direction", "score"]

SAE_MATCH = "Options of method sae-match"
OTHERS = "Options of other methods"
SIGNIFICANCE = "Significance"
MODEL = "The model"
ACTIVATIONS = "Activations"


def told(help: str, panel: str | None = None, **more: Any) -> dict[str, Any]:
    """The help of a field, the group that the help shows it in, and how it is parsed."""
    return {"help": help, "panel": panel, **more}


@dataclass(frozen=True)
class MatchOptions:
    """How two SAEs are matched; what is None is left to the method."""

    method: str | None = field(
        default=None,
        metadata=told(
            "sae-match, cosine, feature-flow, paulo-belrose, carried, pearson, fused or weighted. "
            "Default: sae-match, or fused with --model or --activations.",
        ),
    )
    fold: FoldChoice | None = field(
        default=None,
        metadata=told("How weights are folded before they are compared (weighted too).", SAE_MATCH),
    )
    terms: Terms | None = field(
        default=None, metadata=told("Which weights are compared.", SAE_MATCH)
    )
    bias: bool | None = field(default=None, metadata=told("Compare encoder biases too.", SAE_MATCH))
    encoder_weight: float | None = field(
        default=None, metadata=told("Weight of the encoder term.", SAE_MATCH)
    )
    decoder_weight: float | None = field(
        default=None, metadata=told("Weight of the decoder term.", SAE_MATCH)
    )
    bias_weight: float | None = field(
        default=None, metadata=told("Weight of the bias term.", SAE_MATCH)
    )
    top_k: int | None = field(
        default=None,
        metadata=told("Targets kept per feature (feature-flow, carried, pearson, fused).", OTHERS),
    )
    cutoff: float | None = field(
        default=None,
        metadata=told("Smallest decoder and encoder cosine of a match (paulo-belrose).", OTHERS),
    )
    views: str | None = field(
        default=None,
        metadata=told(
            "What is compared, with weights, such as unit-decoder:1,unit-encoder:0.5 (weighted).",
            OTHERS,
        ),
    )
    kind: KindChoice | None = field(
        default=None,
        metadata=told(
            "Whether features may share a target (weighted, carried, pearson, fused).", OTHERS
        ),
    )
    view: CosineView | None = field(
        default=None, metadata=told("Which cosine is compared (cosine).", OTHERS)
    )
    null: NullChoice = field(
        default="covariance", metadata=told("What scores are tested against.", SIGNIFICANCE)
    )
    fdr: float = field(
        default=0.01, metadata=told("False discovery rate of the matches.", SIGNIFICANCE)
    )
    test: TestChoice = field(
        default="direction",
        metadata=told(
            "What p-values are of: the cosines of a pair's vectors, or the method's score.",
            SIGNIFICANCE,
        ),
    )
    partial: bool = field(
        default=False,
        metadata=told(
            "Leave features without a significant partner unassigned.",
            SIGNIFICANCE,
            flags=("--partial",),
        ),
    )
    candidates: int | None = field(
        default=None,
        metadata=told(
            "Best targets and sources kept per feature. Default: 5, or --top-k if larger.",
            min=1,
        ),
    )
    model: GivenModel | None = field(
        default=None,
        metadata=told(
            "The SAEs' language model, as for saematch capture: it says how directions go from "
            "layer to layer, and reads text on which features fire (carried, pearson, fused).",
            MODEL,
            metavar="NAME",
        ),
    )
    text: list[str] | None = field(
        default=None,
        metadata=told(
            "With --model: text to compare features on, as for saematch capture; repeatable. "
            "Default: text that the model generates.",
            MODEL,
            metavar="TEXT",
        ),
    )
    activations: str | Path | ActivationStore | None = field(
        default=None,
        metadata=told(
            "What the features do on text: a folder written by saematch capture.", ACTIVATIONS
        ),
    )
    tokens: int | None = field(
        default=None,
        metadata=told(
            "Number of tokens to use, spread evenly over all texts. Default: all; with --model "
            "16,384 of each text.",
            ACTIVATIONS,
            min=1,
        ),
    )

    @property
    def own(self) -> dict[str, Any]:
        """The options of the method itself that are given, by name."""
        every = {
            "fold": self.fold,
            "terms": self.terms,
            "bias": self.bias,
            "encoder_weight": self.encoder_weight,
            "decoder_weight": self.decoder_weight,
            "bias_weight": self.bias_weight,
            "top_k": self.top_k,
            "cutoff": self.cutoff,
            "views": self.views,
            "kind": self.kind,
            "view": self.view,
        }
        return {name: value for name, value in every.items() if value is not None}
