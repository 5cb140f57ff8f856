"""What people, or programs, type where a name is asked for."""

from __future__ import annotations

import random

from fire.registry import Target, mutation

WORDS = [
    "",
    " ",
    "/",
    ".",
    "..",
    "~",
    "~nouser/x",
    "hub:",
    "hub:a",
    ":",
    "::",
    "a:b:c",
    "@",
    "a@b",
    "a/b@",
    "a/b@c/d",
    "org/repo",
    "org/repo/../../etc/passwd",
    "saematch:",
    "saematch:nope",
    "saematch:../model",
    "gemma-scope-2b-pt-res:layer_0",
    "a" * 5000,
    "/".join("a" * 300),
    "a\0b",
    "a\nb",
    "\ud800",
    "\ud800/x/y",
    "\u202e\u2028",
    "{",
    "}",
    "{}",
    "{0-}",
    "{-1-3}",
    "{3-0}",
    "{0-99999999}",
    "{0-9}" * 9,
    "{a,b",
    "{{0-1}}",
    "{,}",
    "{1-" + "9" * 400 + "}",
    "layer_{0-3}{0-3}",
    "https://huggingface.co/google/gemma-scope-2b-pt-res/tree/main/layer_12",
    "file:///etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "/etc/passwd",
    "/proc/self/mem",
    "/proc/self/fd/0",
    "-o",
    "--help",
    "%s%n",
    "CON",
    "blocks." + "9" * 400 + ".hook_resid_post",
    "layers.-1",
    "resid_post_3",
    "3",
    "🙂",
]


@mutation("name.word", {"name"}, 2 * len(WORDS))
def _word(target: Target, rng: random.Random) -> str:
    word = rng.choice(WORDS)
    target.path.write_bytes(word.encode("utf-8", "surrogatepass"))
    return repr(word[:80])


@mutation("name.edit", {"name"})
def _edit(target: Target, rng: random.Random) -> str:
    """The right name with a word or letter put in, or something gone."""
    name = target.path.read_text()
    at = rng.randrange(len(name) + 1)
    word = rng.choice([*WORDS, *"{}-,:@/\\*?[]\0\t\n"])
    cut = rng.choice((0, 0, 1, 3))
    changed = name[:at] + word + name[at + cut :]
    target.path.write_bytes(changed.encode("utf-8", "surrogatepass"))
    return repr(changed[:80])
