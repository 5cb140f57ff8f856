"""Random weights in which every convention matters, and what it means for a reader to agree."""

import json
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import save_file

import saematch

from .hub_cache import Cache

D_IN, D_SAE = 12, 40


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def inputs():
    """Inputs off centre, of unequal norms."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(64, D_IN, generator=generator) * 2 + 0.7
    return x * torch.linspace(0.5, 2, 64)[:, None]


@pytest.fixture
def random():
    """`random(*shape)`: reproducible normal numbers."""
    generator = torch.Generator().manual_seed(11)

    def draw(*shape, scale=1.0, dtype=torch.float32):
        return (torch.randn(*shape, generator=generator) * scale).to(dtype)

    return draw


@pytest.fixture
def perturb(random):
    """Sets every parameter of a module to random values; thresholds and the like positive."""

    def change(module):
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                positive = "threshold" in name and "log" not in name
                value = random(*parameter.shape, scale=0.6)
                parameter.copy_(value.abs() + 0.1 if positive else value)
        return module

    return change


@pytest.fixture
def agree():
    """Asserts that an SAE encodes and reconstructs as a library does."""

    def check(sae, x, codes, output):
        torch.testing.assert_close(sae.encode(x), codes, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(sae.reconstruct(x), output, rtol=1e-4, atol=1e-4)
        # an oracle that is silent, or always on, proves nothing
        active = (codes != 0).float().mean()
        assert 0.005 < active < 0.95

    return check


@pytest.fixture
def jumprelu_files(tmp_path, random):
    """`jumprelu_files(folder)`: writes a small SAELens JumpReLU SAE, returns its tensors."""

    def write(folder=tmp_path, hook="blocks.3.hook_resid_post", **changes):
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            "W_enc": random(D_IN, D_SAE),
            "W_dec": random(D_SAE, D_IN),
            "b_enc": random(D_SAE),
            "b_dec": random(D_IN),
            "threshold": random(D_SAE).abs(),
            **changes,
        }
        tensors = {name: value for name, value in tensors.items() if value is not None}
        save_file(tensors, folder / "sae_weights.safetensors")
        config = {
            "architecture": "jumprelu",
            "d_in": D_IN,
            "d_sae": D_SAE,
            "apply_b_dec_to_input": False,
            "metadata": {"hook_name": hook, "model_name": "toy", "sae_lens_version": "6.0.0"},
        }
        (folder / "cfg.json").write_text(json.dumps(config))
        return tensors

    return write


@pytest.fixture
def load():
    return saematch.load


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache, with the hub offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return Cache(tmp_path)


@pytest.fixture
def loaders(sae_lens, monkeypatch):
    """SAELens' loaders and its registry, which are not to ask the hub for shapes."""
    from sae_lens.loading import pretrained_sae_loaders, pretrained_saes_directory

    def shapes(repo, filename):
        path = pretrained_sae_loaders.hf_hub_download(repo, filename)
        with safe_open(path, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118

    monkeypatch.setattr(pretrained_sae_loaders, "get_safetensors_tensor_shapes", shapes)
    return SimpleNamespace(
        SAE=sae_lens.SAE, **{**vars(pretrained_sae_loaders), **vars(pretrained_saes_directory)}
    )
