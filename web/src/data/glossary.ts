/** What the page's words mean, in a sentence or two each. */
export const TERMS: Record<string, string> = {
  lifeline:
    "The SAEs of the chain from the first layer to the last, drawn as a line: a dot where the track has a feature, a dashed stretch where it passes over a layer. A fork to the right is a feature that splits into several of the next layer; one from the left, several that merge into it.",
  label:
    "What somebody said the feature means; where nobody did, the tokens it fires on most. ␣ is a space before a token, ↵ a line end. Case is kept where most of its tokens share it.",
  feature:
    "One direction of a sparse autoencoder (SAE): it fires on some tokens, and writes its decoder row into the model's hidden state there.",
  shared:
    "Two features of different SAEs are shared if the matching of their SAEs accepts them as each other's partner: decoders and encoders alike, and more than chance.",
  cluster:
    "Features of several SAEs that shared pairs join, one to the next. Complete if every two of them are shared; tangled if two are of one SAE.",
  "two runs":
    "Two runs of the same SAEs, by different methods or settings. A run matches a feature if its target passes at the run's false discovery rate.",
  "say most":
    "Each feature counts by its activation, as a share of the largest that is known of it, times how rare it is (minus the logarithm of the share of tokens that it fires on); a track adds up its layers. What fires everywhere says little.",
  "p-value":
    "How often the best match with random dictionaries would score as much. A feature is matched if its p-value passes at the run's false discovery rate.",
  track:
    "One feature followed over layers: each feature of it goes on to its match in a later layer. A feature that matches none is a track of its own.",
  lifespan:
    "The layers from a track's first to its last, both counted, and those it passes over too. A curve begins where its tracks do, and falls as they die.",
  gaps: "Tracks may pass over a layer: an SAE may lack a feature that the layers before and after it have. Each feature goes on to one other at most, and the best set of tracks as a whole is taken.",
  flow: "Each feature goes on to its best match in the next layer, and several may go on to the same one. Tracks that run together share what follows.",
  chained:
    "One-to-one matches of each layer with the next, one after the other. A track ends where a layer has no match for it.",
  matched:
    "Features whose best match is better than chance allows: p-values of all features are tested at the run's false discovery rate. Shares of different pairs can be compared.",
  "beyond chance":
    "How far the median match lies above the median of what chance reaches, in spreads of chance (half of what holds its middle 68 %). Scores have a unit of their own in every pair; this one they share, so that pairs can be compared.",
  cosine:
    "The cosine of the two features' decoder rows: 1 where they write the same direction. The median over all matches.",
  "i to i":
    "The same if feature i went with feature i: what a matching has to beat. High only where SAEs were trained from one another, or from the same start.",
  tested:
    "What p-values are of: the score, or the mean cosine of the views. The median over the matches, and what the best of as many random directions reaches by chance. Only within a pair can it be compared.",
  "contexts in common":
    "Of a feature's strongest contexts, those at whose token the other feature fires too. A match may be significant by its weights, and its two features fire elsewhere all the same.",
  intervals:
    "The strongest contexts say what a feature is at its most sure. The rest are drawn at random from five intervals of equal width between 0 and its largest activation.",
  "speaks for":
    "What one unit of the feature's activation adds to the logits of next tokens, directly: its decoder row through the final norm's gain and the unembedding, less the mean over the vocabulary. The norm divides by the size of the hidden state too, which is left out: compare logits within one feature.",
  "at the last layer":
    "The same of the decoder row as it arrives at the last layer, changed by the model's mean Jacobian over the layers between.",
  mutual: "The share of matches in which each is the other's best.",
  "decoder cosine":
    "The cosine of two decoder rows: 1 where both features write the same direction into the hidden state, 0 where the directions have nothing in common.",
  "correlation of activations":
    "The Pearson correlation of two features' activations over the same tokens: 1 where they fire together and in proportion.",
  "squared difference":
    "The mean squared difference of two decoder rows, each scaled by how strongly its feature fires (folded MSE): smaller is more alike.",
  "fires on": "The share of the tokens read on which the feature's activation is not 0.",
  threshold: "What the encoder's output must exceed for the feature to fire.",
  "largest activation": "The most that the feature fired on any of the tokens read.",
  origin:
    "Where a feature comes from: translated, from the layer before; processed, from there and rewritten by attention or the MLP; newborn, written by them alone; unexplained, from none of these.",
  clean:
    "A community is clean if the top contexts of its features have the tokens of its label, if these are whole words, and if it touches many SAEs: communities are in the order of the product of the three.",
  split:
    "One feature that is the best source of several in the next layer splits into them; one that is the best target of several merges them.",
  match:
    "The feature of the other SAE that a feature was assigned to, if the two are significantly alike: a target that is not counts as no match.",
  significant:
    "With a p-value that passes at the run's false discovery rate (1 % by default): about that share of the matches is chance.",
  score:
    "What the matching adds up. It is compared within one pair of SAEs only, may be negative or above 1, and is no correlation.",
  similarity: "The mean cosine of what the method compares. This is what p-values are of here.",
  correlation:
    "Of both features' activations on the same tokens, zeros included (Pearson). A run keeps it for each feature's best partners; a dash says that it is not among them.",
  "tokens in common":
    "How far both features fire on the same tokens: the sum over tokens of the lesser share of their top contexts. 100 %: the same tokens as often; 0 %: none. ≠ marks a match with none in common whose features do not fire together either (correlation below 0.2, or not known).",
  "contexts shared":
    "The share of either feature's top contexts in which the other fires, too. ≠ marks a match with less than 25 % whose features do not fire together either (correlation below 0.2, or not known).",
  ranks:
    "Which place the target takes among all targets for the feature, and the feature among all features for the target. 1 · 1 is each other's best.",
  "each other’s best":
    "The target is the best of all for the feature, and the feature the best of all for the target.",
  gate: "A feature that two features of the earlier SAE make together: AND where both fire, OR where either does. Certain: beyond doubt by the intervals, in at least five examples. The paper's rule: exactly two inputs with a share of 0.999 or more.",
  passing:
    "A feature passes if the other SAE has one at least this similar; else it disappears (from the earlier SAE) or appears (in the later one). Features count that fired on some token.",
  translated:
    "The stream before has a feature significantly like it, and neither MLP nor attention has.",
  processed:
    "The stream before has a feature significantly like it, and the MLP or attention in between writes it, too.",
  newborn:
    "Only the MLP or attention in between has a feature significantly like it: it begins here.",
  unexplained: "No feature before it is significantly like it.",
};
