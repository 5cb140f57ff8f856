/** What a method's score is, in a sentence; of methods that others add, nothing is known. */
export const SCORES: Record<string, string> = {
  "sae-match":
    "The score is minus the squared distance of encoders and decoders, in units that both SAEs share.",
  cosine: "The score is the cosine of both decoder rows.",
  "feature-flow":
    "The score is the cosine of both decoder rows; several features may share a target.",
  "paulo-belrose": "The score is the mean cosine of decoder and encoder.",
  carried:
    "The score is a mean cosine after the model’s mean Jacobian has carried one feature to the layer of the other.",
  pearson: "The score is the correlation of activations on the same tokens.",
  fused:
    "The score is the correlation of activations that weights and text together let one expect: weights where two features rarely fired, what was seen where they fired often.",
  weighted: "The score is a weighted sum of similarities.",
};

// what matching says of two SAEs of one seed: see saematch.matching.notes
const SEED = "Both SAEs seem to have started";

/** Notes of a pair that a reader must know first, and those for who wants to know how. */
export function notesOf(notes: readonly string[]): { first: string[]; rest: string[] } {
  const urgent = (note: string) => note.includes(SEED);
  return { first: notes.filter(urgent), rest: notes.filter((note) => !urgent(note)) };
}
