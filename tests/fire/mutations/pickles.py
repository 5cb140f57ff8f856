"""Pickles that run code when they are read; each tries to leave a canary."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fire.mutations.tensors import read, write
from fire.registry import FILES, TENSORS, NotApplicableError, Target, mutation

CANARY = "FIRE_CANARY"  # the environment variable that says where it would be


class Call:
    """Pickled as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calls() -> dict[str, Call]:
    """Ways to run code, by name; each makes the canary."""
    import importlib
    import subprocess

    canary = os.environ[CANARY]
    program = f"open({canary!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch '{canary}'"),
        "exec": Call(exec, program),
        "eval": Call(eval, program),
        "open": Call(open, canary, "w"),
        "os.mkdir": Call(os.mkdir, canary),
        "Path.touch": Call(Path.touch, Path(canary)),
        "Popen": Call(subprocess.Popen, ["touch", canary]),
        "getattr": Call(importlib.__import__, "os"),
        "torch.save": Call(torch.save, {}, canary),
        "np.save": Call(np.save, canary, [1]),
        "torch.load": Call(torch.load, canary, None, None, weights_only_false()),
    }


def weights_only_false() -> bool:
    return False


def _forms(content: Any, payload: Call, rng: random.Random) -> tuple[Any, str]:
    """Where in a file it stands."""
    if not isinstance(content, dict):
        return payload, "alone"
    return rng.choice(
        (
            (payload, "alone"),
            ({**content, "extra": payload}, "beside the weights"),
            ({**content, next(iter(content)): payload}, "in the place of a tensor"),
            ({"state_dict": content, "config": payload}, "around the weights"),
            ([payload], "in a list"),
        )
    )


@mutation("pickle.raw", FILES, 60)
def _raw(target: Target, rng: random.Random) -> str:
    word, payload = rng.choice(sorted(calls().items()))
    protocol = rng.choice((0, 1, 2, 3, 4, 5))
    content = pickle.dumps(payload, protocol)
    target.path.write_bytes(content)
    return f"a pickle (protocol {protocol}) that calls {word}"


@mutation("pickle.torch", TENSORS, 80)
def _torch(target: Target, rng: random.Random) -> str:
    word, payload = rng.choice(sorted(calls().items()))
    content, where = _forms(read(target), payload, rng)
    protocol, old = rng.choice((2, 3, 4, 5)), rng.random() < 0.5
    target.path.unlink()  # its tensors may be mapped into memory
    torch.save(
        content,
        target.path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not old,
    )
    return f"torch (protocol {protocol}), {where}: calls {word}"


@mutation("pickle.module", frozenset({"torch"}), 6)
def _module(target: Target, rng: random.Random) -> str:
    """A whole module or class in place of plain tensors."""
    model = torch.nn.Linear(3, 3)
    torch.save(
        rng.choice((model, {"model": model}, torch.nn.Linear, {"a": np.ones(3)})), target.path
    )
    return "a pickled module"


@mutation("pickle.npz", frozenset({"npz"}), 20)
def _npz(target: Target, rng: random.Random) -> str:
    word, payload = rng.choice(sorted(calls().items()))
    tensors = {name: tensor.numpy() for name, tensor in read(target).items()}
    objects = np.array([payload, None], dtype=object)
    name = rng.choice(sorted(tensors))
    tensors[name] = objects
    np.savez(target.path, **tensors)
    return f"{name} holds objects that call {word}"


@mutation("pickle.model", frozenset({"json"}), 6)
def _model(target: Target, rng: random.Random) -> str:
    """A model folder that names code of its own."""
    if target.place != "model/config.json":
        raise NotApplicableError
    import json

    program = f"open({os.environ[CANARY]!r}, 'w')\nfrom transformers import GPT2Config as C\n"
    for name in ("evil.py", "__init__.py", "configuration_gpt2.py"):
        (target.path.parent / name).write_text(program)
    config = json.loads(target.path.read_text())
    field = rng.choice(("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer", "AutoModel"))
    config["auto_map"] = {"AutoConfig": "evil.C", field: "evil.C"}
    if rng.random() < 0.5:
        config["model_type"] = "evil"
    target.path.write_text(json.dumps(config))
    return f"auto_map names code for {field}"


@mutation("pickle.weights", frozenset({"safetensors"}), 6)
def _weights(target: Target, rng: random.Random) -> str:
    """The weights as a pickle under the names that libraries fall back on."""
    word, payload = rng.choice(sorted(calls().items()))
    name = rng.choice(("pytorch_model.bin", "sae_weights.pt", "model.pt", "ae.pt"))
    torch.save({"a": payload}, target.path.with_name(name))
    target.path.unlink()
    return f"only {name}, which calls {word}"


def rewritten(target: Target) -> None:
    """The same tensors, written again."""
    write(target, read(target))
