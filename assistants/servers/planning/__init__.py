"""Planning: what a model needs, which goes on which GPU, and why one has no place."""

from assistants.servers.planning.architecture import Architecture, read_config, read_model
from assistants.servers.planning.memory import (
    GPU_BLOCK,
    KVCache,
    MemoryRequirement,
    kv_bytes_per_extra_token,
    kv_cache,
    memory_requirement,
    tensor_parallel_error,
    token_bytes,
)
from assistants.servers.planning.placement import (
    AIMS,
    MADE_WHILE_LOADING,
    Aim,
    ModelRequest,
    PlacedServer,
    StartMeasurement,
    Unplaced,
)
from assistants.servers.planning.plan import Block, Plan
from assistants.servers.planning.planner import FREE, make_plan
from assistants.servers.planning.weight_memory import Weights, quantization_method

__all__ = [
    "AIMS",
    "FREE",
    "GPU_BLOCK",
    "MADE_WHILE_LOADING",
    "Aim",
    "Architecture",
    "Block",
    "KVCache",
    "MemoryRequirement",
    "ModelRequest",
    "PlacedServer",
    "Plan",
    "StartMeasurement",
    "Unplaced",
    "Weights",
    "kv_bytes_per_extra_token",
    "kv_cache",
    "make_plan",
    "memory_requirement",
    "quantization_method",
    "read_config",
    "read_model",
    "tensor_parallel_error",
    "token_bytes",
]
