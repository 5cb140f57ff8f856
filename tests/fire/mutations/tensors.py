"""Tensors of a checkpoint, read, changed and written again."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fire.registry import TENSORS, Change, NotApplicableError, Target, mutation

INTEGERS = (
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
)
FLOATS = (torch.float16, torch.bfloat16, torch.float64)
NAN, INF = float("nan"), float("inf")


def read(target: Target) -> dict[str, Any]:
    if target.kind == "safetensors":
        return dict(load_file(str(target.path)))
    if target.kind == "npz":
        with np.load(target.path) as file:
            return {name: torch.from_numpy(file[name]) for name in file.files}
    return torch.load(target.path, weights_only=True)


def write(target: Target, content: Any) -> None:
    target.path.unlink()
    if target.kind == "safetensors":
        save_file({name: value.contiguous() for name, value in content.items()}, str(target.path))
    elif target.kind == "npz":
        np.savez(target.path, **{name: value.numpy() for name, value in content.items()})
    else:
        torch.save(content, target.path)


def _inner(content: dict[str, Any]) -> dict[str, Any]:
    """The dict that holds the weights."""
    if any(isinstance(value, Tensor) and value.dim() for value in content.values()):
        return content
    return next(value for value in content.values() if isinstance(value, dict) and len(value) > 1)


def _tensors(name: str, kinds: frozenset[str] = TENSORS, draws: int = 1000):
    """Decorator: a function of the weights, a name, its tensor, random numbers and the target.

    It returns the tensor that takes the place, or changes the weights itself and returns none;
    then words, and why no result can be right.
    """

    def keep(change):
        @mutation(f"tensor.{name}", kinds, draws)
        def _(target: Target, rng: random.Random) -> Change:
            content = read(target)
            weights = _inner(content)
            names = sorted(n for n, v in weights.items() if isinstance(v, Tensor) and v.dim())
            at = rng.choice(names)
            value, what, *refuse = change(weights, at, weights[at], rng)
            if value is not None:
                weights[at] = value
            try:
                write(target, content)
            except (TypeError, ValueError, KeyError, RuntimeError) as error:
                raise NotApplicableError from error  # this format cannot hold it
            why = refuse[0] if refuse and target.weights else None
            return Change(f"{at} {what}", why)

        return change

    return keep


@_tensors("integer", draws=60)
def _integer(weights, name, value, rng):
    kind = rng.choice(INTEGERS)
    return (value * 20).to(kind), f"is {kind}", f"{name} holds {kind}, which are no weights"


@_tensors("complex", draws=12)
def _complex(weights, name, value, rng):
    return value + 1j * value, "is complex", f"{name} is complex"


@_tensors("float", draws=30)
def _float(weights, name, value, rng):
    kind = rng.choice(FLOATS)
    return value.to(kind), f"is {kind}"


@_tensors("float8", draws=12)
def _float8(weights, name, value, rng):
    kind = rng.choice((torch.float8_e4m3fn, torch.float8_e5m2))
    return value.to(kind), f"is {kind}"


@_tensors("shape", draws=120)
def _shape(weights, name, value, rng):
    changes = (
        value.T if value.dim() == 2 else value[None],
        value[1:],
        torch.cat([value, value]),
        value.flatten(),
        value[None],
        value[..., None],
        value[:0],
        value[..., :0],
        value.reshape(-1)[0],
        value.reshape(-1)[:1],
    )
    changed = rng.choice(changes).clone()
    return changed, f"has shape {tuple(changed.shape)}, not {tuple(value.shape)}"


@_tensors("width", draws=12)
def _width(weights, name, value, rng):
    """Sizes that agree with each other and are no SAE's."""
    sizes = sorted({size for v in weights.values() if isinstance(v, Tensor) for size in v.shape})
    old, new = rng.choice(sizes), rng.choice((0, 1))
    for key, tensor in weights.items():
        if isinstance(tensor, Tensor):
            for axis, size in enumerate(tensor.shape):
                if size == old:
                    tensor = tensor.narrow(axis, 0, new)
            weights[key] = tensor.clone()
    return None, f"and all others have {new} in place of {old}", "no SAE" if new == 0 else None


@_tensors("value", draws=200)
def _value(weights, name, value, rng):
    if not value.is_floating_point():
        raise NotApplicableError
    changed = value.clone()
    put = rng.choice((NAN, INF, -INF, 0.0, -1.0, 1e30, -1e30, 1e-40))
    rows = rng.choice(("entry", "entry", "row", "column", "all"))
    if rows == "all" or not value.numel():
        changed[...] = put
    elif rows == "row":
        changed[rng.randrange(value.shape[0])] = put
    else:
        changed[..., rng.randrange(value.shape[-1])] = put
        if rows == "entry":
            changed = value.clone()
            changed.view(-1)[rng.randrange(value.numel())] = put
    return changed, f"holds {put} ({rows})"


@_tensors("missing", draws=12)
def _missing(weights, name, value, rng):
    del weights[name]
    return None, "is missing"


@_tensors("renamed", draws=60)
def _renamed(weights, name, value, rng):
    new = rng.choice((name.lower(), name.upper(), f"x.{name}", f"{name}.x", "", "\u202e", "W_enc"))
    if new in weights:
        raise NotApplicableError
    weights[new] = weights.pop(name)
    return None, f"is called {new!r}"


@_tensors("surrogate", frozenset({"torch"}), 6)
def _surrogate(weights, name, value, rng):
    weights["\ud800"] = value.clone()
    return None, "also under a lone surrogate"


@_tensors("swapped", draws=30)
def _swapped(weights, name, value, rng):
    other = rng.choice(sorted(n for n, v in weights.items() if isinstance(v, Tensor)))
    weights[name], weights[other] = weights[other], weights[name]
    return None, f"and {other} are swapped"


@_tensors("added", draws=60)
def _added(weights, name, value, rng):
    names = ("k", "threshold", "jump", "r_mag", "bias", "b_mag", "W_skip", "group_sizes", "0")
    new = rng.choice(names)
    tensors = (torch.tensor(-1), torch.tensor(2.7), torch.zeros(0), value.clone(), torch.ones(3))
    weights[new] = rng.choice(tensors)
    return None, f"beside {new} of shape {tuple(weights[new].shape)}"


@mutation("tensor.k", frozenset({"torch", "npz"}), 30)
def _k(target: Target, rng: random.Random) -> Change:
    """K that no SAE can keep: in a tensor, or in the values beside the tensors."""
    content = read(target)
    inner = _inner(content)
    holders = [d for d in (inner, content, content.get("activation_state_dict", {})) if "k" in d]
    if not holders:
        raise NotApplicableError
    value = rng.choice((-1, -5, 0, 41, 10**9, -(10**18), 2.7, NAN, INF, True, [5, 5]))
    holders[0]["k"] = torch.tensor(value) if isinstance(holders[0]["k"], Tensor) else value
    write(target, content)
    # where it is the threshold that counts, k was only of training
    batch = "config" in content
    return Change(f"k is {value}", None if batch else f"k is {value} of {target.features} features")


@mutation("tensor.norm", frozenset({"torch"}), 12)
def _norm(target: Target, rng: random.Random) -> Change:
    content = read(target)
    value = rng.choice((0.0, -1.0, NAN, INF, 10**400, "x", [1.0, 2.0]))
    number = isinstance(value, float)
    content["norm_factor"] = torch.tensor(value) if number and rng.random() < 0.5 else value
    write(target, content)
    counts = target.weights and "ae" in content
    return Change(f"norm_factor is {str(value)[:9]}", "norm_factor" if counts and number else None)


@_tensors("kind", frozenset({"torch"}), 60)
def _kind(weights, name, value, rng):
    """Tensors that are no plain arrays in memory."""
    makers = {
        "sparse": value.to_sparse,
        "csr": lambda: value.to_sparse_csr() if value.dim() == 2 else value.to_sparse(),
        "meta": lambda: value.to("meta"),
        "quantised": lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        "conjugate": lambda: torch.complex(value, value).conj(),
        "negated": lambda: torch.complex(value, value).conj().imag,
        "parameter": lambda: torch.nn.Parameter(value),
        "strided": lambda: torch.stack([value, value], -1)[..., 0],
        "transposed": lambda: value.T.contiguous().T if value.dim() == 2 else value,
        "shared": lambda: next(iter(v for v in weights.values() if isinstance(v, Tensor))),
        "number": lambda: float(value.flatten()[0]),
        "list": value.tolist,
        "nested": lambda: {"weight": value},
        "none": lambda: None,
    }
    word = rng.choice(sorted(makers))
    weights[name] = makers[word]()
    return None, f"is {word}"


@mutation("tensor.stride0", frozenset({"torch"}), 4)
def _stride0(target: Target, rng: random.Random) -> Change:
    """A few bytes that say they are many numbers."""
    content = read(target)
    weights = _inner(content)
    n = rng.choice((10**7, 10**8, 10**9, 10**12))
    for name, value in weights.items():
        if isinstance(value, Tensor) and target.features in value.shape:
            shape = [n if size == target.features else size for size in value.shape]
            weights[name] = torch.ones(1).expand(shape)
    write(target, content)
    return Change(f"{n} features in {target.path.stat().st_size} bytes", "more numbers than bytes")


@mutation("tensor.itself", frozenset({"torch"}), 4)
def _itself(target: Target, rng: random.Random) -> str:
    """A file that holds itself where readers unwrap what they know."""
    first, second = rng.choice((("model", "model"), ("ae", "sae"), ("state_dict", "ae")))
    outer: dict[str, Any] = {}
    outer[first] = outer if first == second else {second: outer}
    torch.save(outer, target.path)
    return f"{first} leads to itself"


@mutation("tensor.legacy", frozenset({"torch"}), 6)
def _legacy(target: Target, rng: random.Random) -> str:
    content = read(target)
    protocol = rng.choice((0, 1, 2, 3, 4, 5))
    old = rng.random() < 0.5
    torch.save(
        content,
        target.path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not old,
    )
    return f"protocol {protocol}, {'old' if old else 'new'} format"
