"""Every family, in the order in which they are asked: the most specific first, `plain` last."""

from __future__ import annotations

from saematch.checkpoints import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    goodfire,
    llama_scope,
    llamascopium,
    nanda,
    openai,
    plain,
    qwen_scope,
    saelens,
    sparsify,
)
from saematch.checkpoints.registry import Family, Registry

FAMILIES = Registry()
for _module in (
    gemma_scope,
    gemma_scope_2,
    saelens,
    sparsify,
    llama_scope,
    llamascopium,
    openai,
    goodfire,
    qwen_scope,
    dictionary_learning,
    nanda,
    circuit_tracer,
    plain,
):
    FAMILIES.register(Family(_module.NAME, _module.detect, _module.read))
