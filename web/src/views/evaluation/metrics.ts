/** What the metrics are called, and what says what they mean. */
export const METRICS: Record<string, { title: string; means: string }> = {
  "delta-loss": {
    title: "Cost in nats (delta loss)",
    means:
      "Nats that the model's predictions lose when an estimate stands in place of the hidden state; 0 costs nothing.",
  },
  "delta-loss less drop's": {
    title: "Cost beside dropping the layers",
    means:
      "Delta loss of an estimate minus that of dropping the layers in between, on the same text: above 0, the estimate is worse than dropping them.",
  },
  "explained variance": {
    title: "Explained variance",
    means: "Share of the variance of the hidden state; 1 is all of it.",
  },
  "explained variance per dimension": {
    title: "Explained variance, per dimension",
    means: "The mean over dimensions of the share explained of each.",
  },
  "explained variance, errors centred": {
    title: "Explained variance, errors centred",
    means: "As SAE Match prints it: a constant error is forgiven.",
  },
  "P(j|i)": {
    title: "P(j|i): the match fires, too",
    means: "Of the tokens on which a feature fires, the share on which its match does.",
  },
  "P(i|j)": {
    title: "P(i|j): the feature fires, too",
    means: "Of the tokens on which a match fires, the share on which the feature does.",
  },
  Jaccard: {
    title: "Jaccard: both fire",
    means: "Tokens on which both fire, as a share of those on which either does.",
  },
  loss: {
    title: "The model's own loss",
    means: "Nats per prediction with nothing replaced: what costs are added to.",
  },
};
