"""Files whose tensors are not what they seem: sizes, dtypes and kinds of storage."""

import io
import itertools
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saematch.checkpoints import archives
from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40
HUGE = 10**11


@pytest.fixture
def weights(random):
    return {
        "W_enc": random(D_IN, D_SAE),
        "W_dec": random(D_SAE, D_IN),
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
    }


def _refused(load, path, *words):
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message, message


def _same(sae, weights):
    for name, value in weights.items():
        assert torch.equal(getattr(sae, name), value), name


def _npy(value) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(value))
    return out.getvalue()


@pytest.mark.parametrize("columns_first", [False, True])
def test_large_members_of_an_npz_stay_in_the_file(
    columns_first, tmp_path, load, weights, monkeypatch
):
    monkeypatch.setattr(archives, "_SMALL", 200)
    members = {
        name: np.asfortranarray(v) if columns_first else v.numpy() for name, v in weights.items()
    }
    mapped, made = [], archives._mapped
    monkeypatch.setattr(
        archives, "_mapped", lambda *given: mapped.append(made(*given)) or mapped[-1]
    )
    np.savez(tmp_path / "params.npz", **members)
    _same(load(tmp_path / "params.npz"), weights)
    assert len(mapped) == 3  # all but b_dec, which is small
    content = bytearray((tmp_path / "params.npz").read_bytes())
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "params.npz").write_bytes(content)
    _refused(load, tmp_path / "params.npz", "corrupt")


def _npz(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in members:
            archive.writestr(name, value if isinstance(value, bytes) else _npy(value))
    return path


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        # numpy has no floats of 8 bits
        *itertools.product(("safetensors", "pt", "npz"), ("int8", "uint8", "bool", "complex64")),
        *itertools.product(("safetensors", "pt"), ("int64", "float8_e4m3fn")),
    ],
)
@pytest.mark.filterwarnings("ignore:Casting complex")
def test_weights_are_floating_numbers(load, weights, tmp_path, suffix, dtype):
    weights["b_enc"] = (weights["b_enc"].abs() * 3).to(getattr(torch, dtype))
    path = tmp_path / f"a.{suffix}"
    if suffix == "safetensors":
        save_file(weights, path)
    elif suffix == "pt":
        torch.save(weights, path)
    else:
        np.savez(path, **{name: value.numpy() for name, value in weights.items()})
    _refused(load, path, "b_enc is stored as " + dtype, "floating")


def test_a_count_may_be_an_integer_and_a_complex_one_may_not(load, weights, tmp_path):
    torch.save({**weights, "k": torch.tensor(3)}, tmp_path / "a.pt")
    assert load(tmp_path / "a.pt").conventions.k == 3
    for wrong in (torch.tensor(2 + 1j), torch.tensor(True), torch.ones(1).expand(HUGE)):
        torch.save({**weights, "k": wrong}, tmp_path / "b.pt")
        _refused(load, tmp_path / "b.pt", "k has shape", "expected one number")


@pytest.mark.parametrize("k", [2.7, float("nan"), float("inf"), -1.0, 0.0])
def test_k_is_a_whole_number(load, weights, tmp_path, k):
    torch.save({**weights, "k": torch.tensor(k)}, tmp_path / "a.pt")
    _refused(load, tmp_path / "a.pt", "k is ", "a whole number")


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_tensors_that_are_not_dense_are_refused_by_their_kind(load, weights, tmp_path):
    dense = weights["W_enc"]
    kinds = {
        "sparse (sparse_coo)": dense.to_sparse(),
        "sparse (sparse_csr)": dense.to_sparse_csr(),
        "on the device meta": dense.to("meta"),
    }
    for word, value in kinds.items():
        torch.save({**weights, "W_enc": value}, tmp_path / "a.pt")
        _refused(load, tmp_path / "a.pt", f"W_enc is {word}")


def test_negated_and_transposed_views_are_read_as_the_numbers_that_they_are(
    load, weights, tmp_path
):
    negated = torch._neg_view(weights["b_enc"])  # pyright: ignore[reportPrivateImportUsage]
    turned = weights["W_enc"].T.contiguous().T
    torch.save({**weights, "b_enc": negated, "W_enc": turned}, tmp_path / "a.pt")
    _same(load(tmp_path / "a.pt"), {**weights, "b_enc": -weights["b_enc"]})


def test_a_file_that_holds_itself_ends(load, tmp_path):
    inner, outer = {}, {}
    inner["model"] = inner
    torch.save(inner, tmp_path / "a.pt")
    outer["ae"] = {"sae": outer}
    torch.save(outer, tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        _refused(load, tmp_path / name, "it holds no tensors")


def test_views_of_one_number_are_compared_with_what_is_stored(load, weights, tmp_path):
    one = torch.ones(1)
    wide = {"W_enc": one.expand(D_IN, HUGE), "W_dec": one.expand(HUGE, D_IN)}
    path = tmp_path / "a.pt"
    torch.save({**wide, "b_enc": one.expand(HUGE), "b_dec": one.expand(D_IN)}, path)
    assert path.stat().st_size < 4000
    _refused(load, path, f"W_enc has shape ({D_IN}, {HUGE})", "only 4 are stored")
    # one number for every feature is a way to write a bias
    torch.save({**weights, "b_enc": torch.tensor([0.5]).expand(D_SAE)}, tmp_path / "b.pt")
    assert load(tmp_path / "b.pt").b_enc.tolist() == [0.5] * D_SAE


def test_a_torch_file_that_was_zipped_again_is_read(load, weights, tmp_path):
    torch.save(weights, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    _same(load(tmp_path / "b.pt"), weights)


def _arrays(weights):
    return [(f"{name}.npy", value.numpy()) for name, value in weights.items()]


def test_arrays_of_the_other_byte_order_and_in_columns_are_read(load, weights, tmp_path):
    for name, change in (("big", lambda v: v.astype(">f4")), ("columns", np.asfortranarray)):
        changed = [(member, change(value)) for member, value in _arrays(weights)]
        sae = load(_npz(tmp_path / f"{name}.npz", changed, zipfile.ZIP_DEFLATED))
        _same(sae, weights)
        assert sae.conventions.dtype == "float32"


def test_two_members_of_one_name_are_refused(load, weights, tmp_path):
    other = ("W_enc", weights["W_enc"].numpy() + 1)
    path = _npz(tmp_path / "params.npz", [*_arrays(weights), other])
    _refused(load, path, "two members are called W_enc")


@pytest.mark.parametrize("shape", [(10**6, 10**6), (-D_IN, D_SAE), (D_IN, D_SAE - 1)])
def test_the_shape_of_an_array_is_compared_with_its_bytes(load, weights, tmp_path, shape):
    header = io.BytesIO()
    said = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, said)
    lying = ("W_enc.npy", header.getvalue() + weights["W_enc"].numpy().tobytes())
    path = _npz(tmp_path / "params.npz", [lying, *_arrays(weights)[1:]])
    _refused(load, path, f"member W_enc has {D_IN * D_SAE * 4:,} bytes", str(shape))


def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(load, tmp_path):
    path = tmp_path / "params.npz"
    zeros = b"\0" * (1 << 24)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("W_enc.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(20):
            member.write(zeros)
    _refused(load, path, f"unpack to {20 << 24:,}")


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [((6, 8), 1, "encrypted"), ((8, 10), 77, "compression method is not supported")],
)
def test_archives_that_cannot_be_opened_say_why(load, weights, tmp_path, at, value, words):
    path = _npz(tmp_path / "params.npz", _arrays(weights))
    content = bytearray(path.read_bytes())
    for signature, offset in zip((b"PK\x03\x04", b"PK\x01\x02"), at, strict=True):
        place = content.find(signature)
        while place >= 0:
            content[place + offset] = value
            place = content.find(signature, place + 4)
    path.write_bytes(content)
    _refused(load, path, words)


@pytest.mark.parametrize(
    "content",
    [b"root:x:0:0:root\n" * 9, b"\x80\x02l", b"(", b"\x80\x02(K\x01K\x02.", b"PK\x03\x04"],
)
def test_what_is_no_torch_file_is_refused_in_one_line(load, tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    _refused(load, tmp_path / "a.pt", "not a torch file")
