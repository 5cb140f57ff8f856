/** What the page's words mean, in a sentence or two each. */
export const TERMS: Record<string, string> = {
  feature:
    "One direction of a sparse autoencoder (SAE): it fires on some tokens, and writes its decoder row into the model's hidden state there.",
  "p-value":
    "How often the best match with random dictionaries would score as much. A feature is matched if its p-value passes at the run's false discovery rate.",
};
