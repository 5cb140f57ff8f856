// Pairs one after the other, and a vote on each; text of a run is only ever a text node.

const SIGNS = { "\n": "↵", "\r": "↵", "\t": "⇥" };
const TURNS = /[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g;
const of = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-grade]")];

let cases = [];
let at = 0; // the pair that is shown; as many as there are: the end
let since = 0; // when it was shown, in milliseconds
let sending = false;

/** Line ends, tabs and what turns the direction of writing, made visible. */
function visible(text) {
  return text
    .replace(/[\n\r\t]/g, (c) => SIGNS[c])
    .replace(/[\x00-\x1f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(TURNS, (c) => `⟨${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function item({ before, token, after, share }) {
  const made = document.createElement("li");
  const mark = document.createElement("mark");
  // spaces around a token stand beside the mark, unless the token is nothing else
  const [, space, word, rest] = /^(\s*)(.*?)(\s*)$/su.exec(token);
  made.dir = "auto";
  mark.textContent = visible(word || token);
  mark.style.setProperty("--share", share);
  made.append(visible(before + (word && space)), mark, visible((word && rest) + after));
  return made;
}

function draw() {
  const done = cases.filter((one) => one.grade !== null).length;
  const ended = at >= cases.length;
  of("pair").hidden = ended;
  of("end").hidden = !ended;
  of("help").hidden = ended;
  of("progress").textContent = ended ? `${done} of ${cases.length}` : `${at + 1} of ${cases.length}`;
  of("bar").max = cases.length;
  of("bar").value = done;
  of("back").disabled = at === 0;
  for (const button of buttons) {
    button.disabled = ended;
    const chosen = !ended && cases[at].grade === Number(button.dataset.grade);
    button.setAttribute("aria-pressed", String(chosen));
  }
  if (ended) {
    of("end").textContent =
      done === cases.length
        ? "Thank you: every pair has a vote, and all are kept. This page may be closed; back goes to the last pair."
        : `${cases.length - done} pairs have no vote yet: go back to them, or reload this page.`;
    return;
  }
  for (const side of ["left", "right"]) of(side).replaceChildren(...cases[at][side].map(item));
  scrollTo(0, 0);
  since = performance.now();
}

async function vote(grade) {
  if (sending || at >= cases.length) return;
  sending = true;
  try {
    const seconds = Math.min(1e6, (performance.now() - since) / 1000);
    const answer = await fetch("votes", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ case: at, grade, seconds }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    cases[at].grade = grade;
    at += 1;
    say(null);
    draw();
  } catch (error) {
    say(`This vote was not kept: ${error.message}. Is saematch vote still running?`);
  } finally {
    sending = false;
  }
}

function back() {
  if (sending || at === 0) return;
  at -= 1;
  draw();
}

function say(problem) {
  of("problem").hidden = problem === null;
  of("problem").textContent = problem ?? "";
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (["1", "2", "3"].includes(event.key)) vote(Number(event.key));
  else if (event.key === "Backspace") back();
  else return;
  event.preventDefault();
});
for (const button of buttons) {
  button.addEventListener("click", () => vote(Number(button.dataset.grade)));
}
of("back").addEventListener("click", back);

try {
  const answer = await fetch("ballot.json");
  if (!answer.ok) throw new Error(await answer.text());
  cases = (await answer.json()).cases;
  const open = cases.findIndex((one) => one.grade === null);
  at = open < 0 ? cases.length : open;
  draw();
} catch (error) {
  say(`The pairs could not be read: ${error.message}`);
}
