"""Every way in which a file can be wrong ends in one line that names it."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saematch.errors import CheckpointError

D_IN, D_SAE = 12, 40


def _refused(load, path, *words):
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message, message


class Exploit:
    """Pickles to a call that leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (os.mkdir, (str(self.trace),))


@pytest.fixture
def weights(random):
    return {
        "W_enc": random(D_IN, D_SAE),
        "W_dec": random(D_SAE, D_IN),
        "b_enc": random(D_SAE),
        "b_dec": random(D_IN),
        "threshold": random(D_SAE).abs(),
    }


@pytest.fixture
def files(tmp_path, weights):
    """The same SAE in each kind of file."""
    save_file(weights, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{name: value.numpy() for name, value in weights.items()})
    torch.save(weights, tmp_path / "a.pt")
    return tmp_path


SUFFIXES = ["safetensors", "npz", "pt"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [4, 200, 0.5, 0.98])
def test_truncated(files, load, suffix, keep):
    path = files / f"a.{suffix}"
    content = path.read_bytes()
    assert load(path).d_sae == D_SAE
    path.write_bytes(content[: keep if keep > 1 else int(keep * len(content))])
    _refused(load, path, "truncated")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_corrupt(files, load, suffix):
    path = files / f"a.{suffix}"
    path.write_bytes(b"\x93\x00garbage" * 200)
    _refused(load, path, "corrupt")


def test_flipped_bits_in_an_npz_are_noticed(files, load):
    path = files / "a.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    _refused(load, path, "corrupt")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_file(tmp_path, load, suffix):
    path = tmp_path / f"a.{suffix}"
    path.touch()
    _refused(load, path, "empty")


def test_empty_folder_and_no_folder(tmp_path, load):
    (tmp_path / "hollow").mkdir()
    _refused(load, tmp_path / "hollow", "an empty folder", "expected")
    _refused(load, tmp_path / "hollows", "hollow")


def test_folder_without_weights(tmp_path, load):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "README.md").write_text("hello")
    _refused(load, tmp_path / "text", "README.md")


def test_unknown_suffix(tmp_path, load):
    (tmp_path / "weights.txt").write_text("hello")
    _refused(load, tmp_path / "weights.txt", ".txt", ".safetensors")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_of_something_else(tmp_path, load, random, suffix):
    """A layer of a transformer is no SAE."""
    model = {"attn.c_attn.weight": random(8, 24), "mlp.weight": random(8, 32), "ln.bias": random(8)}
    path = tmp_path / f"model.{suffix}"
    if suffix == "npz":
        np.savez(path, **{name: value.numpy() for name, value in model.items()})
    elif suffix == "pt":
        torch.save(model, path)
    else:
        save_file(model, path)
    _refused(load, path, "attn.c_attn.weight", "expected the tensors of an SAE")


def test_an_sae_with_other_matrices_is_something_else(tmp_path, load, weights, random):
    save_file({**weights, "attn.weight": random(4, 4)}, tmp_path / "a.safetensors")
    _refused(load, tmp_path / "a.safetensors", "attn.weight")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("W_enc", (D_IN, D_SAE - 1)), ("W_dec", (D_SAE, D_IN + 1)), ("threshold", (D_SAE + 2,))],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wrong_shapes(files, load, weights, random, suffix, name, shape):
    wrong = {**weights, name: random(*shape)}
    path = files / f"b.{suffix}"
    if suffix == "npz":
        np.savez(path, **{n: v.numpy() for n, v in wrong.items()})
    elif suffix == "pt":
        torch.save(wrong, path)
    else:
        save_file(wrong, path)
    _refused(load, path, name, str(shape))


def test_wrong_shapes_in_saelens_files(jumprelu_files, load, random, tmp_path):
    jumprelu_files(tmp_path, W_dec=random(D_SAE, D_IN, 2))
    with pytest.raises(CheckpointError, match=r"sae_weights.*W_dec has shape \(40, 12, 2\)"):
        load(tmp_path)


def test_nan_in_every_feature_is_an_error(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path, W_enc=torch.full((D_IN, D_SAE), torch.nan))
    with pytest.raises(CheckpointError, match="every feature has NaN"):
        load(tmp_path)
    jumprelu_files(tmp_path, b_dec=torch.full((D_IN,), torch.nan))
    with pytest.raises(CheckpointError, match="decoder's bias"):
        load(tmp_path)


def test_nan_in_some_features_excludes_them(jumprelu_files, load, random, tmp_path):
    W_enc, W_dec, threshold = random(D_IN, D_SAE), random(D_SAE, D_IN), random(D_SAE).abs()
    W_enc[3, 5] = torch.nan
    W_dec[7, 0] = -torch.inf
    threshold[9] = torch.inf
    W_dec[11] = 0
    W_enc[:, 13] = 0
    jumprelu_files(tmp_path, W_enc=W_enc, W_dec=W_dec, threshold=threshold)
    sae = load(tmp_path)
    reasons = {reason: mask.nonzero().flatten().tolist() for reason, mask in sae.exclusions.items()}
    assert reasons == {"not finite": [5, 7, 9], "zero decoder": [11], "zero encoder": [13]}
    assert sae.excluded.nonzero().flatten().tolist() == [5, 7, 9, 11, 13]


def test_pickled_code_is_not_run(tmp_path, load, weights):
    trace = tmp_path / "trace"
    path = tmp_path / "ae.pt"
    torch.save({**weights, "extra": Exploit(trace)}, path)
    _refused(load, path, "never run")
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps({"W_enc": Exploit(trace)}))
    _refused(load, bare)
    assert not trace.exists()
    # read the careless way, the file does leave its trace
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_pickled_arrays_are_not_loaded(tmp_path, load):
    trace = tmp_path / "trace"
    hidden = np.array([Exploit(trace)], dtype=object)
    np.savez(tmp_path / "params.npz", W_enc=hidden, W_dec=hidden)
    _refused(load, tmp_path / "params.npz", "pickled")
    assert not trace.exists()


def test_a_whole_module_is_not_unpickled(tmp_path, load):
    torch.save(torch.nn.Linear(3, 4), tmp_path / "ae.pt")
    _refused(load, tmp_path / "ae.pt", "never run")


def test_a_list_is_no_state_dict(tmp_path, load):
    torch.save([torch.zeros(3)], tmp_path / "ae.pt")
    _refused(load, tmp_path / "ae.pt", "found a list")


def test_configs_that_are_no_configs(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path)
    for content, word in (("{", "not valid JSON"), ("[1]", "found a JSON list")):
        (tmp_path / "cfg.json").write_text(content)
        with pytest.raises(CheckpointError, match=rf"cfg\.json: .*{word}"):
            load(tmp_path)


def test_configs_of_the_wrong_make(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "vae", "d_sae": D_SAE}))
    with pytest.raises(CheckpointError, match="architecture 'vae'"):
        load(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "topk", "d_sae": D_SAE}))
    with pytest.raises(CheckpointError, match="topk SAE needs k"):
        load(tmp_path)


def test_only_regular_files_are_read(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path)
    config = tmp_path / "cfg.json"
    for make, words in (
        (lambda: os.mkfifo(config), "a pipe, socket or device"),
        (lambda: config.symlink_to("/dev/zero"), "a pipe, socket or device"),
        (lambda: config.symlink_to("nowhere"), "no such file"),
        (lambda: config.symlink_to("cfg.json"), "symbolic links"),
    ):
        config.unlink()
        make()
        with pytest.raises(CheckpointError, match=rf"cfg\.json: .*{words}"):
            load(tmp_path)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "sae.pt")
    for name in (tmp_path / "pipe", tmp_path / "pipe" / "sae.pt"):
        with pytest.raises(CheckpointError, match=r"sae\.pt: a pipe, socket or device"):
            load(name)


def test_a_pointer_of_git_lfs_is_called_so(tmp_path, load):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 302054760\n"
    for name in ("sae_weights.safetensors", "params.npz", "ae.pt"):
        (tmp_path / name).write_text(pointer)
        _refused(load, tmp_path / name, "Git LFS pointer", "git lfs pull")


def test_configs_may_have_a_byte_order_mark(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path, hook="blocks.5.hook_mlp_out")
    config = tmp_path / "cfg.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert load(tmp_path).conventions.site.layer == 5


@pytest.mark.parametrize("content", ["[" * 100_000, '{"k": ' + "9" * 6000 + "}", "\udcff"])
def test_configs_that_no_parser_likes(jumprelu_files, load, tmp_path, content):
    jumprelu_files(tmp_path)
    (tmp_path / "cfg.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"cfg\.json: not "):
        load(tmp_path)


def test_names_in_configs_are_text_or_left_out_with_a_note(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    for hook, model in ((5, ["gpt2"]), ({"a": 1}, 7)):
        config["metadata"] |= {"hook_name": hook, "model_name": model}
        (tmp_path / "cfg.json").write_text(json.dumps(config))
        found = load(tmp_path).conventions
        assert (found.site, found.model) == (None, None)
        assert f"the hook that its config names is {hook}, no text: left out" in found.notes
        assert f"the model that its config names is {model}, no text: left out" in found.notes
    config["metadata"] |= {"hook_name": "layers.1", "model_name": "half \ud83d"}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    assert load(tmp_path).conventions.model == "half \ufffd"


@pytest.mark.parametrize("k", [2.7, -1, 41, float("nan"), float("inf"), 10**400])
def test_k_in_a_config_is_a_whole_number_of_features(load, random, tmp_path, k):
    tensors = {"W_enc": random(D_IN, D_SAE), "W_dec": random(D_SAE, D_IN)}
    tensors |= {"b_enc": random(D_SAE), "b_dec": random(D_IN)}
    save_file(tensors, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "topk", "k": k}))
    with pytest.raises(CheckpointError, match=r"k is .* (a )?whole number"):
        load(tmp_path)


def test_a_value_that_breaks_lines_does_not_break_the_error(jumprelu_files, load, tmp_path):
    jumprelu_files(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "a\nb\u2028c", "d_sae": D_SAE}))
    _refused(load, tmp_path, "architecture")


def test_an_odd_name_is_no_hindrance_where_it_is_the_only_one(load, weights, tmp_path):
    for name in ("sae_state_dict.pt", "my_optimizer_study.pt"):
        folder = tmp_path / name.removesuffix(".pt")
        folder.mkdir()
        torch.save(weights, folder / name)
        assert torch.equal(load(folder).W_dec, weights["W_dec"])
    # beside others, what training leaves is not taken for an SAE
    torch.save({**weights, "b_dec": weights["b_dec"] + 1}, folder / "mine.pt")
    assert torch.equal(load(folder).b_dec, weights["b_dec"] + 1)


def test_whose_format_a_file_was_taken_for(load, random, tmp_path):
    turned = {"W_enc": random(D_SAE, D_IN), "W_dec": random(D_IN, D_SAE)}
    turned |= {"b_enc": random(D_SAE), "b_dec": random(D_IN)}
    torch.save(turned, tmp_path / "layer3_relu.pt")
    sae = load(tmp_path / "layer3_relu.pt")
    assert torch.equal(sae.W_enc, turned["W_enc"].T)
    assert torch.equal(sae.W_dec, turned["W_dec"].T)
    assert any(note.startswith("read by names and shapes alone") for note in sae.conventions.notes)
    np.savez(tmp_path / "params.npz", **turned, threshold=random(D_SAE))
    _refused(load, tmp_path / "params.npz", "read as gemma_scope", "W_enc has shape (40, 12)")
    torch.save(turned, tmp_path / "layer3.sae.pt")
    _refused(load, tmp_path / "layer3.sae.pt", "Qwen Scope", "without its k")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nope", r"ORG/REPO/PATH .*RELEASE:ID .*saematch:NAME"),
        ("resid_post_33", r"nearest of those that ship: saematch:resid_post_3"),
        ("resid_post_3", r"did you mean saematch:resid_post_3\?"),
        ("~nobody-here/x", "no such file"),
        ("x\0y", "control characters"),
        ("/tmp/x\ny", "control characters"),
        ("a" * 5000, "a name of 5,000 letters"),
        ("\udcff", "not in UTF-8"),
        ("C:\\saes\\layer_12", "no such file or folder$"),
        ("D:/saes/layer_12", "no such file or folder$"),
        ("https://example.com/a/b", r"expected https://huggingface\.co/ORG/REPO"),
        ("https://huggingface.co/datasets/a/b/tree/main/c", r"no address of a model repository"),
    ],
)
def test_names_that_are_nothing_say_what_to_type(load, name, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
