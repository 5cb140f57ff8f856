"""From what a user asks for to what is done to each feature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from saematch.causal.contributions import written_at
from saematch.errors import RunError, SaematchError
from saematch.layers.layers import Layers
from saematch.layers.tracks import Mode
from saematch.models.hook_points import site_of
from saematch.models.language_model import LanguageModel
from saematch.runs.run import Run
from saematch.sae.sae import SAE
from saematch.steering.features import ALONG, Along, Feature, Named, flow_of, named, track_of
from saematch.steering.output_score import OutputScore, output_scores
from saematch.steering.schedules import ALPHA, BY_FEATURE, Schedule, by_layer
from saematch.steering.schedules import checked as checked_schedule
from saematch.steering.steering import HOWS, UNITS, Change, How, Unit

OUTPUT_SCORE = "output-score"
LOW = 0.01  # of the best output score: no token that is promoted gets a chance of one in a hundred
SCHEDULED = "take another schedule (--schedule constant)"
GIVEN = (
    "give the strength as a share of the hidden state's norm, or as an activation (--unit norm, "
    "--unit raw)"
)
STATISTICS: dict[Unit, str] = {"max": "max_activation", "mean": "mean_activation"}


@dataclass(frozen=True)
class Asked:
    """How features are to be steered; `saematch.steer` says what each means.

    Raises:
        SaematchError: a value that is not allowed, or values that do not go together.
    """

    strength: float | None = None
    schedule: Schedule = "constant"
    how: How = "add"
    along: Along = "layer"
    layer: int | str | None = None
    unit: Unit | None = None
    mode: Mode = "chained"
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        checked_schedule(self.schedule)
        for name, value, allowed in (
            ("how", self.how, HOWS),
            ("along", self.along, ALONG),
            ("unit", self.unit, (None, *UNITS)),
        ):
            if value not in allowed:
                known = ", ".join(one for one in allowed if one)
                raise SaematchError(f"{name} is {value!r}; it is one of {known}")
        if self.strength is not None and not math.isfinite(self.strength):
            raise SaematchError(f"strength is {self.strength}: expected a finite number")
        self._check_how()
        self._check_layer()

    def _check_how(self) -> None:
        if self.how == "remove" and self.strength is not None:
            raise SaematchError(
                f"strength {self.strength:g} is given, but a feature is removed whole: leave it "
                "out, or scale by a factor (--how scale)"
            )
        if self.how == "scale" and self.strength is None:
            raise SaematchError(
                "scale by how much? Give the factor as strength (--strength): 0 removes the "
                "feature, 1 leaves it, 2 doubles it"
            )
        if self.how != "add" and self.unit is not None:
            raise SaematchError(f"unit {self.unit} is given, but only what is added has one")
        fixed = {"remove": ("constant",), "scale": ("constant", "linear", "exponential")}
        if self.schedule not in fixed.get(self.how, (self.schedule,)):
            raise SaematchError(
                f"schedule {self.schedule} is given, but to {self.how} takes "
                f"{' or '.join(fixed[self.how])}"
            )

    def _check_layer(self) -> None:
        if self.layer is None:
            return
        if self.along != "layer":
            raise SaematchError(
                f"layer {self.layer} is given, but along the {self.along} all layers are steered: "
                "leave one of them out"
            )
        if self.layer != OUTPUT_SCORE and not str(self.layer).isdecimal():
            raise SaematchError(f"layer is {self.layer!r}: give a number, or {OUTPUT_SCORE}")


class Plan:
    """The features of a run that are steered, by what is asked.

    Args:
        run: the run.
        model: the language model.
        load: an SAE of the run by its name.
        features: those that are named.
        asked: how.

    Raises:
        RunError: no such feature, or it is in no track or flow; an activation that the run does not
            know.
        SaematchError: a transcoder, an SAE of another model, or values that cannot be.
    """

    def __init__(
        self,
        run: Run,
        model: LanguageModel,
        load: Callable[[str], SAE],
        features: Named | Sequence[Named],
        asked: Asked,
    ) -> None:
        self.run, self.model, self._load, self.asked = run, model, load, asked
        self.saes: dict[str, SAE] = {}
        self.scores: list[OutputScore] = []  # where the layer is chosen by them
        self.notes: list[str] = []
        self._layers = Layers.of(run)
        self.named = named(self._layers, features)
        self.features = {feature: self._along(feature) for feature in self.named}

    def changes(self, strength: float | None = None) -> list[Change]:
        """What is done to each feature, at another strength than was asked if one is given."""
        asked = self.asked if strength is None else replace(self.asked, strength=strength)
        found: dict[Feature, Change] = {}
        for root, its in self.features.items():
            for change in self._changes(asked, root, its):
                found.setdefault((change.site, change.feature), change)
        return [*found.values()]

    def sae(self, name: str) -> SAE:
        """An SAE of the run, checked: its features are part of a hidden state of the model."""
        if name not in self.saes:
            sae = self._load(name)
            written_at(sae, name)
            self.model.hooks_of({name: sae})
            self.saes[name] = sae
        return self.saes[name]

    def _along(self, feature: Feature) -> list[Feature]:
        asked = self.asked
        if asked.along == "flow":
            return flow_of(self._layers, feature)
        if asked.along == "track":
            return track_of(self.run, feature, asked.mode)
        if asked.layer is None:
            return [feature]
        track = track_of(self.run, feature, asked.mode)
        if asked.layer == OUTPUT_SCORE:
            saes = {site: self.sae(site) for site, _ in track}
            scores = output_scores(self.model, saes, track)
            self.scores += scores
            best = max(scores, key=lambda one: one.score)
            if best.score < LOW:
                self.notes.append(
                    f"the output scores of the track of {feature[0]} #{feature[1]} are "
                    f"{best.score:.2g} at most: even added strongly, none of its features makes "
                    "the model say what it promotes, so the choice between them says little"
                )
            return [(best.site, best.feature)]
        at = [f for f in track if self._layer(f[0]) == int(asked.layer)]
        if not at:
            there = ", ".join(str(self._layer(site)) for site, _ in track)
            raise RunError(
                f"the track of {feature[0]} #{feature[1]} has no feature at layer {asked.layer}; "
                f"it is at layers {there}"
            )
        return at[-1:]  # of resid_pre and resid_post, what comes out

    def _layer(self, name: str) -> int:
        layer = site_of(self.sae(name), name).layer
        if layer is None:
            raise SaematchError(f"{name}: its layer is not known, and schedules go by layers")
        return layer

    def _changes(self, asked: Asked, root: Feature, features: list[Feature]) -> list[Change]:
        layers = [self._layer(site) for site, _ in features]
        if (column := BY_FEATURE.get(asked.schedule)) is not None:
            whole = self._known(root, column, SCHEDULED)
            weights = [self._known(feature, column, SCHEDULED) / whole for feature in features]
        else:
            weights = by_layer(asked.schedule, layers, asked.alpha)
        unit = asked.unit or "max" if asked.how == "add" else "raw"
        found: list[Change] = []
        for (site, feature), layer, weight in zip(features, layers, weights, strict=True):
            # what is spread by a property of features is measured at the one that was named
            of = root if asked.schedule in BY_FEATURE else (site, feature)
            hook = written_at(self.sae(site), site)
            amount = self._amount(asked, unit, of, weight)
            found.append(Change(site, feature, hook, layer, asked.how, amount, unit, weight))
        return found

    def _amount(self, asked: Asked, unit: Unit, of: Feature, weight: float) -> float:
        if asked.how == "remove":
            return 0.0
        if asked.how == "scale":
            assert asked.strength is not None, "checked when it was asked"
            return 1 + (asked.strength - 1) * weight
        strength = 1.0 if asked.strength is None else asked.strength
        own = self._known(of, STATISTICS[unit], GIVEN) if unit in STATISTICS else 1.0
        return strength * own * weight

    def _known(self, feature: Feature, column: str, instead: str) -> float:
        """A statistic of a feature, from the run's table; `instead`: what to do without it."""
        site, number = feature
        if column == "threshold" and self.run.sae(site).threshold_kind != "per feature":
            raise RunError(
                f"{site} has no threshold of each feature: spread the strength by their mean "
                "activations (--schedule activation)"
            )
        value = self.run.features(site)[column][number]
        if value is None or not value > 0:
            raise RunError(
                f"the {column.replace('_', ' ')} of {site} #{number} is "
                f"{'not known' if value is None else value}: {instead}"
            )
        return float(value)
