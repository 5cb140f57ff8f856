"""JSON: what may stand at any path of it."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from fire.mutations.files import rewrite
from fire.registry import Change, NotApplicableError, Target, mutation

JSON = frozenset({"json", "jsonl"})
DEEP = 100_000


class Raw(str):
    """Text that stands in the JSON as it is."""


HUGE = [10**18, -(10**18), 2**63, 2**64, 10**400, Raw("1e999"), Raw("1" * 6000), 1e300, 0.1]
SMALL = [0, -1, -5, 1, 2.7, True, False, Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), 10**9]
TYPES = [None, True, 5, 2.5, "x", "", [], {}, [1, 2], {"a": 1}, [None], [[]], "5", [{}]]
STRINGS = [
    Raw('"\\ud800"'),
    Raw('"a\\u0000b"'),
    "a\nb\r\n[bold]c\x1b[31m",
    "../../../etc/passwd",
    "/etc/passwd",
    "a" * 5000,
    "__proto__",
    "{0-9999999}",
    "\u202e\u2028",
    ".",
    "",
]
_COUNTS = ("k", "top_k", "k_aux")


def paths(content: Any, here: tuple = ()) -> list[tuple]:
    """Every place in a JSON value but the whole."""
    if isinstance(content, dict):
        below = list(content.items())
    elif isinstance(content, list):
        below = list(enumerate(content))
    else:
        return []
    return [p for key, value in below for p in ((*here, key), *paths(value, (*here, key)))]


def put(content: Any, path: tuple, value: Any) -> Any:
    """The content with another value at a path."""
    changed = copy.deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def text_of(value: Any) -> str:
    """JSON with `Raw` as it is."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{text_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


def _structured(name: str, draws: int = 1000):
    """Decorator: a function of a JSON value and random numbers, which returns another, and words.

    Of a `.jsonl` file, one line changes.
    """

    def keep(change):
        @mutation(f"json.{name}", JSON, draws)
        def _(target: Target, rng: random.Random) -> Change:
            lines = [target.path.read_text("utf-8")]
            if target.kind == "jsonl":
                lines = lines[0].splitlines()
            at = rng.randrange(len(lines))
            value, what, *refuse = change(json.loads(lines[at]), rng, target)
            lines[at] = text_of(value)
            rewrite(target, "\n".join(lines).encode("utf-8", "surrogatepass"))
            return Change(what, *refuse)

        return change

    return keep


def _place(content: Any, rng: random.Random) -> tuple:
    found = paths(content)
    if not found:
        raise NotApplicableError
    # what lies high decides more than the hundredth entry of a list
    return rng.choice([p for p in found if len(p) <= rng.choice((1, 2, 9))] or found)


def _at(content: Any, path: tuple) -> Any:
    for key in path:
        content = content[key]
    return content


@_structured("drop")
def _drop(content, rng, target):
    path = _place(content, rng)
    changed = copy.deepcopy(content)
    del _at(changed, path[:-1])[path[-1]]
    return changed, f"without {path}"


@_structured("retype")
def _retype(content, rng, target):
    path, value = _place(content, rng), rng.choice(TYPES)
    return put(content, path, value), f"{path} is {value!r}"


@_structured("number")
def _number(content, rng, target):
    numbers = [p for p in paths(content) if isinstance(_at(content, p), int | float)]
    if not numbers:
        raise NotApplicableError
    path, value = rng.choice(numbers), rng.choice(HUGE + SMALL)
    refuse = None
    if path[-1] in _COUNTS and target.place.endswith((".json",)) and "model/" not in target.place:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and 0 < value <= target.features) and value != 0:
            refuse = f"k is {str(value)[:20]} of {target.features} features"
    return put(content, path, value), f"{path} is {str(value)[:40]}", refuse


@_structured("string")
def _string(content, rng, target):
    strings = [p for p in paths(content) if isinstance(_at(content, p), str)]
    if not strings:
        raise NotApplicableError
    path, value = rng.choice(strings), rng.choice(STRINGS)
    return put(content, path, value), f"{path} is {value[:40]!r}"


@_structured("key")
def _key(content, rng, target):
    keys = [p for p in paths(content) if isinstance(p[-1], str)]
    if not keys:
        raise NotApplicableError
    path, name = rng.choice(keys), rng.choice(("x", "", "__proto__", "\ud800", "a\nb"))
    changed = copy.deepcopy(content)
    inner = _at(changed, path[:-1])
    inner[name] = inner.pop(path[-1])
    return changed, f"{path} is called {name!r}"


@_structured("whole", 20)
def _whole(content, rng, target):
    value = rng.choice([*TYPES, *HUGE[:6], *SMALL[6:9], [content], {"a": content}])
    return value, "another value in place of all"


@_structured("nest", 60)
def _nest(content, rng, target):
    path = rng.choice([(), *paths(content)[:40]])
    depth, (left, right) = rng.choice((50, 990, DEEP)), rng.choice((("[", "]"), ('{"a":', "}")))
    value = Raw(left * depth + "1" + right * depth)
    return (put(content, path, value) if path else value), f"{depth} levels at {path}"


@_structured("swap")
def _swap(content, rng, target):
    first, second = _place(content, rng), _place(content, rng)
    a, b = _at(content, first), _at(content, second)
    if first == second or first[: len(second)] == second or second[: len(first)] == first:
        raise NotApplicableError
    return put(put(content, first, b), second, a), f"{first} and {second} swapped"


@_structured("longer")
def _longer(content, rng, target):
    lists = [p for p in paths(content) if isinstance(_at(content, p), list) and _at(content, p)]
    if not lists:
        raise NotApplicableError
    path = rng.choice(lists)
    entries = _at(content, path)
    changed = rng.choice(([], entries + entries, entries[:1] * 1000, entries[1:], entries[::-1]))
    return put(content, path, changed), f"{path} has {len(changed)} entries"


@_structured("add", 200)
def _add(content, rng, target):
    fields = (
        ("finetuning_scaling_factor", True),
        ("model_from_pretrained_kwargs", {"center_writing_weights": True}),
        ("architecture", rng.choice(("temporal", "matching_pursuit", "", "__class__"))),
        ("activation", "sigmoid"),
        ("k", rng.choice((0, -1, 10**9, 2.7))),
        ("auto_map", {"AutoConfig": "evil.C"}),
        ("dtype", rng.choice(("int8", "float9", 5))),
        ("quantization_config", {"load_in_8bit": True}),
    )
    name, value = rng.choice(fields)
    if not isinstance(content, dict):
        raise NotApplicableError
    return {**content, name: value}, f"{name} is {value!r}"
