"""Any file: its bytes, and what stands in its place."""

from __future__ import annotations

import os
import random
import shutil

from fire.registry import FILES, NotApplicableError, Target, mutation


def rewrite(target: Target, content: bytes) -> None:
    """A new file, so that nothing that is linked to the old one changes."""
    target.path.unlink(missing_ok=True)
    target.path.write_bytes(content)


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    if not content:
        raise NotApplicableError
    # heads and tails of files are what parsers trust
    where = rng.choice(("head", "tail", "any"))
    size = len(content)
    low = 0 if where != "tail" else max(0, size - 200)
    high = size if where != "head" else min(size, 200)
    first = rng.randrange(low, high)
    return first, min(size, first + rng.choice((1, 2, 4, 8, 64, 1000)))


def _bytes(name: str):
    """Decorator: a function of the content and random numbers, which returns other content."""

    def keep(change):
        @mutation(f"bytes.{name}", FILES)
        def _(target: Target, rng: random.Random) -> str:
            content = change(target.path.read_bytes(), rng)
            rewrite(target, content)
            return f"{name}: now {len(content)} bytes"

        return change

    return keep


@_bytes("flip")
def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        first, _ = _span(content, rng)
        changed[first] ^= 1 << rng.randrange(8)
    return bytes(changed)


@_bytes("cut")
def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _span(content, rng)[0]]


@_bytes("behead")
def _behead(content: bytes, rng: random.Random) -> bytes:
    return content[_span(content, rng)[0] + 1 :]


@_bytes("remove")
def _remove(content: bytes, rng: random.Random) -> bytes:
    first, last = _span(content, rng)
    return content[:first] + content[last:]


@_bytes("splice")
def _splice(content: bytes, rng: random.Random) -> bytes:
    first, last = _span(content, rng)
    there, _ = _span(content, rng)
    return content[:there] + content[first:last] + content[there:]


@_bytes("repeat")
def _repeat(content: bytes, rng: random.Random) -> bytes:
    first, last = _span(content, rng)
    return content[:last] + content[first:last] * rng.choice((1, 3, 50)) + content[last:]


@_bytes("zero")
def _zero(content: bytes, rng: random.Random) -> bytes:
    first, last = _span(content, rng)
    fill = rng.choice((b"\0", b"\xff", b"\x80"))
    return content[:first] + fill * (last - first) + content[last:]


@_bytes("random")
def _random(content: bytes, rng: random.Random) -> bytes:
    first, last = _span(content, rng)
    return content[:first] + rng.randbytes(last - first) + content[last:]


def _instead(name: str, draws: int = 1):
    """Decorator: a function that puts something in the place of the file, which is gone."""

    def keep(put):
        @mutation(f"file.{name}", FILES, draws)
        def _(target: Target, rng: random.Random) -> str:
            target.path.unlink()
            put(target, rng)
            return f"{name} in its place"

        return put

    return keep


@_instead("empty")
def _empty(target: Target, rng: random.Random) -> None:
    target.path.write_bytes(b"")


@_instead("missing")
def _missing(target: Target, rng: random.Random) -> None:
    pass


@_instead("folder")
def _folder(target: Target, rng: random.Random) -> None:
    target.path.mkdir()


@_instead("fifo")
def _fifo(target: Target, rng: random.Random) -> None:
    os.mkfifo(target.path)


@_instead("device", 3)
def _device(target: Target, rng: random.Random) -> None:
    target.path.symlink_to(rng.choice(("/dev/zero", "/dev/urandom", "/dev/full", "/dev/null")))


@_instead("socket")
def _socket(target: Target, rng: random.Random) -> None:
    import socket

    # addresses of sockets are short; the folder is the working one
    here = os.getcwd()
    os.chdir(target.path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(target.path.name)
    os.chdir(here)


@_instead("dangling")
def _dangling(target: Target, rng: random.Random) -> None:
    target.path.symlink_to("nowhere")


@_instead("loop")
def _loop(target: Target, rng: random.Random) -> None:
    target.path.symlink_to(target.path.name)


@_instead("pointer")
def _pointer(target: Target, rng: random.Random) -> None:
    oid = f"{rng.getrandbits(256):064x}"
    target.path.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 302000000\n"
    )


@_instead("text", 3)
def _text(target: Target, rng: random.Random) -> None:
    target.path.write_text(
        rng.choice(("<!doctype html>\n<title>404</title>\n", "root:x:0:0\n", "x"))
    )


@mutation("file.bom", FILES, 3)
def _bom(target: Target, rng: random.Random) -> str:
    code = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"))
    rewrite(target, code + target.path.read_bytes())
    return f"begins with {code!r}"


@mutation("file.unreadable", FILES, 1)
def _unreadable(target: Target, rng: random.Random) -> str:
    if os.geteuid() == 0:
        raise NotApplicableError
    content = target.path.read_bytes()
    rewrite(target, content)
    target.path.chmod(0)
    return "may not be read"


@mutation("file.other", FILES, 3)
def _other(target: Target, rng: random.Random) -> str:
    """A file of another kind under this name."""
    others = [p for p in target.path.parent.rglob("*") if p.is_file() and p != target.path]
    if not others:
        raise NotApplicableError
    other = rng.choice(sorted(others))
    target.path.unlink()
    shutil.copyfile(other, target.path)
    return f"the content of {other.name}"
