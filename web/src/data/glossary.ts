/** What the page's words mean, in a sentence or two each. */
export const TERMS: Record<string, string> = {
  feature:
    "One direction of a sparse autoencoder (SAE): it fires on some tokens, and writes its decoder row into the model's hidden state there.",
  shared:
    "Two features of different SAEs are shared if the matching of their SAEs accepts them as each other's partner: decoders and encoders alike, and more than chance.",
  cluster:
    "Features of several SAEs that shared pairs join, one to the next. Complete if every two of them are shared; tangled if two are of one SAE.",
  "two runs":
    "Two runs of the same SAEs, by different methods or settings. A run matches a feature if it accepts a target for it at its false discovery rate.",
  "p-value":
    "How often the best match with random dictionaries would score as much. A feature is matched if its p-value passes at the run's false discovery rate.",
};
