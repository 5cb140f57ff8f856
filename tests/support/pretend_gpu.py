"""A GPU that is not there: tensors that say they are on `cuda`, and refuse what a GPU's refuse.

Their numbers lie in the processor's memory. Within `pretend_gpu()` tensors moved to `cuda`, or made
there, are marked. An operation on marked and unmarked ones, `numpy()` of a marked one, or a random
draw there with a generator of the processor raises `MixedError`, as a GPU would. Code that forgets
where its tensors lie is so found on any machine; of speed, memory and rounding it tells nothing.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
_SAYS = {Tensor.device: CUDA, Tensor.is_cuda: True, Tensor.is_cpu: False}  # type: ignore[reportAttributeAccessIssue]
_COPIES = (Tensor.copy_, torch.as_tensor, torch._has_compatible_shallow_copy_type)
_READS = (Tensor.numpy, Tensor.__array__)
_GROUPED = torch.optim.Optimizer._group_tensors_by_device_and_dtype
_INDEXING = (Tensor.__getitem__, Tensor.__setitem__)


class MixedError(RuntimeError):
    """What a GPU would refuse."""


class Marked(Tensor):
    """A tensor that counts as one on the GPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(func, tuple(args), dict(kwargs or {}))


class _Pretended(TorchFunctionMode):
    """Calls that have no marked tensor as well, such as `torch.zeros(3, device="cuda")`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(func, tuple(args), dict(kwargs or {}))


def _called(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    name, owner = getattr(func, "__name__", str(func)), getattr(func, "__self__", None)
    if name == "__get__" and owner in _SAYS and on_gpu(args[0]):
        return _SAYS[owner]
    where, args, kwargs = _named(func, args, kwargs)
    given = [v for v in pytree.tree_leaves((args, kwargs)) if isinstance(v, Tensor)]
    here = any(map(on_gpu, given))
    if here and func in _READS:
        raise MixedError(f"{name} of a tensor on the GPU")
    if here and where is None and func not in _COPIES:
        _check_together(func, name, args, given)
    there = here and func is not torch.tensor if where is None else where.type == "cuda"
    generator = kwargs.get("generator")
    if there and generator is not None and not on_gpu(generator):
        raise MixedError(f"{name} on the GPU with a generator of the processor")
    if func is torch.mm and "out_dtype" in kwargs:  # which only a GPU has
        wide = kwargs.pop("out_dtype")
        args = tuple(v.to(wide) for v in args)
    with torch._C.DisableTorchFunctionSubclass():
        found = func(*args, **kwargs)
        if isinstance(found, torch.Size) or (not there and where is None):
            return found
        if where is None:
            return pytree.tree_map_only(Tensor, _marked, found)
        return pytree.tree_map_only(Tensor, _copied_there if there else _copied_back, found)


def _named(func: Any, args: tuple, kwargs: dict) -> tuple[torch.device | None, tuple, dict]:
    """The device that a call names, if any, and the call with the processor in its place."""
    if func is Tensor.cpu:
        return CPU, args, kwargs
    if func is Tensor.cuda:
        return CUDA, args[:1], kwargs
    if func is Tensor.to and len(args) > 1 and not isinstance(args[1], torch.dtype):
        other = args[1]
        if isinstance(other, Tensor):
            other = CUDA if on_gpu(other) else CPU
            with torch._C.DisableTorchFunctionSubclass():
                return other, (args[0], CPU, args[1].dtype, *args[2:]), kwargs
        return torch.device(other), (args[0], CPU, *args[2:]), kwargs
    if kwargs.get("device") is None:
        return None, args, kwargs
    where = torch.device(kwargs["device"])
    return where, args, {**kwargs, "device": CPU if where.type == "cuda" else where}


def _check_together(func: Any, name: str, args: tuple, given: list[Tensor]) -> None:
    """Raise where a GPU would: beside ours, one of the processor that is no single number."""
    if func in _INDEXING and on_gpu(args[0]):
        # an index may lie with the processor; so may a value that is put in a slice
        sliced = not any(isinstance(v, Tensor) for v in pytree.tree_leaves(args[1]))
        given = [args[0], *(v for v in args[2:] if isinstance(v, Tensor) and not sliced)]
    if any(not on_gpu(v) and v.ndim > 0 for v in given):
        with torch._C.DisableTorchFunctionSubclass():
            of = [f"{'gpu' if on_gpu(v) else 'cpu'} {tuple(v.shape)}" for v in given]
        raise MixedError(f"{name} of tensors on the GPU and the processor: {', '.join(of)}")


def on_gpu(value: Any) -> bool:
    """Whether a tensor is marked; sparse ones, and generators, by an attribute."""
    return isinstance(value, Marked) or getattr(value, "on_gpu", False)


def _marked(value: Tensor) -> Tensor:
    if on_gpu(value):
        return value
    if value.layout == torch.strided:
        return value.as_subclass(Marked)
    value.on_gpu = True  # type: ignore[reportAttributeAccessIssue]
    return value


def _copied_there(value: Tensor) -> Tensor:
    return value if on_gpu(value) else _marked(value.clone())


def _copied_back(value: Tensor) -> Tensor:
    if not on_gpu(value):
        return value
    return value.clone().as_subclass(Tensor) if isinstance(value, Marked) else value.clone()


class _Generator(torch.Generator):
    def __new__(cls, device: torch.device | str = "cpu") -> _Generator:
        made = super().__new__(cls, "cpu")  # type: ignore[reportCallIssue]
        made.on_gpu = torch.device(device).type == "cuda"
        return made


def _grouped(lists: list[list], with_indices: bool = False) -> dict:
    """Parameters and their states by device, as an optimiser takes them."""
    found = {}
    for there in (False, True):
        places = [place for place, one in enumerate(lists[0]) if on_gpu(one) == there]
        some = [[each[place] for place in places] if each else [] for each in lists]
        of_one = _GROUPED(some, with_indices) if places else {}
        found |= {(CUDA if there else CPU, kind): group for (_, kind), group in of_one.items()}
    return found


@contextlib.contextmanager
def pretend_gpu() -> Iterator[None]:
    """Within the block `cuda` is a device; its tensors are of no use outside."""
    future = torch.__future__
    before = future.get_overwrite_module_params_on_conversion()
    future.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch.object(torch.cuda, "synchronize"),
            mock.patch.object(torch.cuda, "get_rng_state"),
            mock.patch.object(torch.cuda, "set_rng_state"),
            mock.patch.object(torch, "Generator", _Generator),
            mock.patch.object(
                torch.optim.Optimizer, "_group_tensors_by_device_and_dtype", staticmethod(_grouped)
            ),
            warnings.catch_warnings(),
            _Pretended(),
        ):
            warnings.filterwarnings("ignore", "User provided device_type of 'cuda'")
            yield
    finally:
        future.set_overwrite_module_params_on_conversion(before)
