"""Containers that lie about what they hold: safetensors headers, zip archives, npy members."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile

import numpy as np

from fire.mutations.files import rewrite
from fire.mutations.structured import SMALL, TYPES, Raw, paths, put, text_of
from fire.registry import Change, NotApplicableError, Target, mutation

NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64 - 1, 10**12, 10**30, *SMALL]
DTYPES = ["F64", "I8", "F4", "BOOL", "BF16", "F8_E4M3", "C64", "", "f32", "X" * 1000, None, 5]


def _split(content: bytes) -> tuple[dict, bytes]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _joined(header: str, data: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


@mutation("header.number", {"safetensors"})
def _number(target: Target, rng: random.Random) -> str:
    header, data = _split(target.path.read_bytes())
    places = [p for p in paths(header) if isinstance(p[-1], int)]
    path, value = rng.choice(places), rng.choice(NUMBERS)
    rewrite(target, _joined(text_of(put(header, path, value)), data))
    return f"{path} is {value}"


@mutation("header.kind", {"safetensors"})
def _kind(target: Target, rng: random.Random) -> str:
    header, data = _split(target.path.read_bytes())
    path = rng.choice(paths(header))
    value = rng.choice(DTYPES if path[-1] == "dtype" else TYPES)
    rewrite(target, _joined(text_of(put(header, path, value)), data))
    return f"{path} is {str(value)[:30]}"


@mutation("header.length", {"safetensors"}, 30)
def _length(target: Target, rng: random.Random) -> str:
    content = target.path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    value = rng.choice((0, 1, size - 1, size + 1, 2**20, 2**40, 2**63, 2**64 - 1))
    rewrite(target, struct.pack("<Q", value) + content[8:])
    return f"a header of {value} bytes"


@mutation("header.json", {"safetensors"}, 30)
def _json(target: Target, rng: random.Random) -> str:
    header, data = _split(target.path.read_bytes())
    name = next(name for name in header if name != "__metadata__")
    changed = copy.deepcopy(header)
    kind = rng.randrange(5)
    if kind == 0:
        text = "[" * 100_000
    elif kind == 1:
        changed["\ud800"] = changed.pop(name)
        text = text_of(changed)
    elif kind == 2:
        text = text_of(header)[:-1] + f",{json.dumps(name)}:{text_of(header[name])}}}"
    elif kind == 3:
        changed["__metadata__"] = rng.choice((5, {"a": 5}, {"a": {"b": "c"}}, {"format": "tf"}))
        text = text_of(changed)
    else:
        changed[name] = Raw("null")
        text = text_of(changed)
    rewrite(target, _joined(text, data))
    return f"header of kind {kind}"


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


@mutation("zip.field", {"npz", "torch"}, 200)
def _field(target: Target, rng: random.Random) -> str:
    """One field of a local or central header: version, flags, method, sizes, offset."""
    content = bytearray(target.path.read_bytes())
    if content[:2] != b"PK":
        raise NotApplicableError
    marks = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    found = [i for i in range(len(content) - 30) if content[i : i + 4] in marks]
    at, offset = rng.choice(found), rng.choice((4, 6, 8, 10, 12, 14, 18, 20, 22, 24, 26))
    value = rng.choice((0, 1, 8, 9, 12, 14, 99, 0xFFFF))
    content[at + offset : at + offset + 2] = struct.pack("<H", value)
    rewrite(target, bytes(content))
    return f"zip field {offset} at {at} is {value}"


@mutation("zip.deflate", {"npz"}, 60)
def _deflate(target: Target, rng: random.Random) -> str:
    """Compressed, and then damaged within a member."""
    content = bytearray(_archive([*_members(target.path.read_bytes()).items()], 8))
    for _ in range(3):
        content[rng.randrange(60, max(61, len(content) - 600))] ^= 1 << rng.randrange(8)
    rewrite(target, bytes(content))
    return "a damaged deflate stream"


@mutation("zip.members", {"npz"}, 12)
def _twice(target: Target, rng: random.Random) -> Change:
    """What is checked need not be what is read: two members of one name in NumPy's eyes."""
    members = _members(target.path.read_bytes())
    name = rng.choice(sorted(members))
    other = io.BytesIO()
    np.lib.format.write_array(other, np.full((2, 2), np.nan, dtype=np.float32))
    bare = (name.removesuffix(".npy"), other.getvalue())
    order = [*members.items(), bare] if rng.random() < 0.5 else [bare, *members.items()]
    rewrite(target, _archive(order))
    return Change(f"{name} is there with and without .npy", "two members of one name")


@mutation("zip.npy", {"npz"}, 60)
def _npy(target: Target, rng: random.Random) -> str:
    """A member whose header promises more, or others, than there is."""
    members = _members(target.path.read_bytes())
    name = rng.choice(sorted(members))
    shape = rng.choice(("(10**9,)", "(1000000000000,)", "(-1,)", "()", "(2, 'x')", "5", "(0,)"))
    kind = rng.choice(("'<f4'", "'|O'", "'<c8'", "'<U9'", "'<M8[s]'", "[('a','<f4')]", "'>f4'"))
    text = f"{{'descr': {kind}, 'fortran_order': {rng.choice((False, 3))}, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    version = rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    members[name] = b"\x93NUMPY" + version + size + text.encode() + bytes(64)
    rewrite(target, _archive([*members.items()]))
    return f"{name} says {kind} of {shape}"


@mutation("zip.bomb", {"npz"}, 2)
def _bomb(target: Target, rng: random.Random) -> str:
    """A small file of very many zeros."""
    members = _members(target.path.read_bytes())
    name = rng.choice(sorted(members))
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (600000000,), }".ljust(117) + "\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in members.items():
            if key != name:
                archive.writestr(key, content)
        with archive.open(name, "w", force_zip64=True) as file:
            file.write(head)
            for _ in range(8):
                file.write(bytes(1 << 20))
    rewrite(target, made.getvalue())
    return f"{name} says 600,000,000 numbers"
