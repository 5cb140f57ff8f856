"""Folders of models that are not what they should be, or that want code of theirs to be run."""

import json
import os
import shutil
import sys

import pytest
import torch

from saematch import SaematchError
from saematch.models import open_model
from saematch.sae import shipped

CODE = "open({canary!r}, 'w').close()\n"


@pytest.fixture
def model(tmp_path):
    """A copy of the shipped model."""
    return shutil.copytree(shipped.folder() / "model", tmp_path / "model")


def change(folder, file="config.json", **fields):
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


class Terminal:
    """Says yes to whatever is asked, and keeps that it was."""

    asked = False

    def __call__(self, _prompt=""):
        Terminal.asked = True
        return "y"


@pytest.fixture
def canary(tmp_path, monkeypatch, model):
    """A file that code in the folder makes, where it is run; a user who says yes."""
    path = tmp_path / "canary"
    for name in ("modeling_x.py", "configuration_x.py", "tokenization_x.py", "__init__.py"):
        (model / name).write_text(CODE.format(canary=str(path)) + "class X: pass\n")
    folder = model / "custom_generate"
    folder.mkdir()
    (folder / "generate.py").write_text(CODE.format(canary=str(path)) + "def generate(): pass\n")
    Terminal.asked = False
    monkeypatch.setattr("builtins.input", Terminal())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return path


AUTO = {
    "AutoConfig": "configuration_x.X",
    "AutoModelForCausalLM": "modeling_x.X",
    "AutoTokenizer": ["tokenization_x.X", None],
}


@pytest.mark.parametrize(
    ("file", "fields", "opens"),
    [
        ("config.json", {"auto_map": AUTO}, True),
        ("config.json", {"auto_map": AUTO, "model_type": "unheard-of"}, False),
        ("tokenizer_config.json", {"auto_map": AUTO}, True),
        ("tokenizer_config.json", {"auto_map": AUTO, "tokenizer_class": "X"}, True),
        ("generation_config.json", {"custom_generate": "custom_generate"}, True),
    ],
)
def test_no_code_of_a_model_is_run_nor_asked_about(model, canary, file, fields, opens):
    change(model, file, **fields)
    if opens:
        plain, ids = open_model("saematch:model"), torch.arange(12)[None]
        assert torch.equal(open_model(str(model)).losses(ids), plain.losses(ids))
    else:
        with pytest.raises(SaematchError, match="cannot be opened as a language model"):
            open_model(str(model))
    assert not canary.exists()
    assert not Terminal.asked


@pytest.fixture
def fetched(monkeypatch):
    """The kernels that transformers asks a hub for."""
    from transformers.integrations import hub_kernels

    asked = []

    def get(name, *_, **__):
        asked.append(name)
        raise ImportError(name)

    monkeypatch.setattr(hub_kernels, "get_kernel", get)
    monkeypatch.setattr(hub_kernels, "load_and_register_attn_kernel", get)
    monkeypatch.setattr("transformers.modeling_utils.is_kernels_available", lambda: True)
    monkeypatch.setattr("transformers.modeling_utils.lazy_import_flash_attention", get)
    return asked


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation"])
@pytest.mark.parametrize("kernel", ["org/kernels", "org/kernels@main:attention", "mystery"])
def test_attention_that_a_configuration_names_is_not_fetched(model, fetched, key, kernel):
    change(model, **{key: kernel})
    with pytest.raises(SaematchError, match="asks for attention by") as raised:
        open_model(str(model))
    assert "\n" not in str(raised.value)
    assert fetched == []


@pytest.mark.parametrize("own", ["eager", "sdpa", "flash_attention_2", "flex_attention"])
def test_transformers_own_attention_is_that_of_its_default(model, fetched, own):
    change(model, attn_implementation=own, _experts_implementation="deepgemm")
    lm, plain, ids = open_model(str(model)), open_model("saematch:model"), torch.arange(12)[None]
    assert lm.model.config._attn_implementation == "sdpa"
    assert torch.equal(lm.losses(ids), plain.losses(ids))
    assert fetched == []


def test_number_formats_that_need_kernels_are_refused(model, fetched):
    for method in ("fp8", "mxfp4", "eetq", "unheard-of", None):
        change(model, quantization_config={"quant_method": method})
        with pytest.raises(SaematchError, match="its weights are quantised by"):
            open_model(str(model))
    assert fetched == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_layer": 10**9}, "n_layer is 1,000,000,000, but its files hold"),
        ({"num_hidden_layers": 10**9}, "is 1,000,000,000, but its files hold"),
        ({"vocab_size": 10**12}, "states 128,0"),
        ({"n_positions": 10**12}, "states 128,0"),
        ({"n_inner": 10**11}, "states 1"),
        ({"n_inner": 600}, "one line"),
        ({"n_layer": 7}, "lack 12 of its weights, such as"),
        ({"n_embd": "wide"}, "one line"),
        ({"n_layer": -1}, "states -1 layers, but its files hold transformer.h.0"),
        ({"n_layer": 3}, "states 3 layers, but its files hold transformer.h.3"),
        ({"n_head": 0}, "one line"),
        ({"activation_function": "no such"}, "one line"),
        ({"model_type": ["gpt2"]}, "one line"),
    ],
)
def test_sizes_and_values_that_the_weights_do_not_have_end_in_one_line(model, fields, words):
    change(model, **fields)
    with pytest.raises(SaematchError) as raised:
        open_model(str(model))
    said = str(raised.value)
    assert "\n" not in said
    assert words == "one line" or words in said
    assert str(model) in said


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"[5]", b"null", b'"x"'])
def test_damaged_files_end_in_one_line(model, file, content):
    (model / file).write_bytes(content)
    with pytest.raises(SaematchError) as raised:
        open_model(str(model))
    assert "\n" not in str(raised.value)
    assert str(model) in str(raised.value)


def test_pickles_with_code_are_not_run(model, canary):
    import pickle

    class Evil:
        def __reduce__(self):
            return exec, (CODE.format(canary=str(canary)),)

    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()) + b" " * 10**6)
    with pytest.raises(SaematchError, match="cannot be opened as a language model"):
        open_model(str(model))
    assert not canary.exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_pipes_and_devices_are_not_waited_for(model, file):
    (model / file).unlink()
    os.mkfifo(model / file)
    with pytest.raises(SaematchError, match="a pipe, socket or device, expected a file"):
        open_model(str(model))
    (model / file).unlink()
    (model / file).symlink_to("/dev/zero")
    with pytest.raises(SaematchError, match="a pipe, socket or device, expected a file"):
        open_model(str(model))


def test_an_adapter_is_no_model(model):
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "org/other"}')
    with pytest.raises(SaematchError, match="merge it into its model"):
        open_model(str(model))
