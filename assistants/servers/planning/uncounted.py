"""What a config may say that is not counted: it is refused, or noted."""

from __future__ import annotations

from assistants.errors import FileError
from assistants.servers.planning.model_config import ModelConfig

CACHE = (
    "attention_other_setting",  # Step 3.5: other heads where a layer slides
    "block_configs",  # Nemotron's puzzles: layers without attention, or with other heads
    "compress_ratios",  # DeepSeek-V4: caches that keep one of several tokens
    "hybrid_layer_pattern",  # MiMo-V2: other heads where a layer slides
    "is_encoder_decoder",  # a second cache, of what was read
    "layer_group_size",  # Ring: linear attention in most layers
    "loop_num",  # IQuest: layers that are gone through several times
    "lru_width",  # RecurrentGemma
    "per_layer_config",  # transformers 5: layers that differ in anything
    "zero_expert_num",  # LongCat: two attentions in a layer
)
"""Keys that make a conversation take a multiple, or a part, of what would be counted."""

SIZE = (
    "moe_latent_size",  # Nemotron 3: experts that work on something narrower
    "num_mem_blocks",  # Zamba2: layers that share their parameters
    "routed_expert_hidden_size",  # Kimi K3: as Nemotron
)
"""Keys that do so to the parameters, which does not matter where files tell the weights."""

SMALL = {
    "altup_num_inputs": "the projections of AltUp and Laurel",
    "attn_res_block_size": "residuals that look back at earlier layers",
    "index_topk_freq": "that some layers share an indexer",
    "index_topk_pattern": "that some layers share an indexer",
    "moe_layers_enum": "which layers have no experts",
}
"""Keys that change a figure by a few percent, and what it is that they bring."""


def uncounted(fields: ModelConfig, measured: bool) -> tuple[str, ...]:
    """Notes on what a config brings that is not counted here.

    Parameters
    ----------
    fields
        The config.
    measured
        Whether files tell the size of its weights.

    Raises
    ------
    FileError
        If a plan would be wrong by a multiple.
    """
    for key in CACHE:
        if _says(fields, key):
            fix = "Start it without a plan; the card of a server tells what it takes."
            raise FileError(fields.source, f"{key} changes its cache in a way that is not "
                            "counted here.", fix=fix)  # fmt: skip
    notes = []
    for key in SIZE:
        if _says(fields, key) and not measured:
            fix = "Point at the folder with its weights: their headers tell their size."
            raise FileError(fields.source, f"{key} changes its parameters in a way that is not "
                            "counted here.", fix=fix)  # fmt: skip
        if _says(fields, key):
            notes.append(f"Its parameters are others than counted ({key}); its files tell the "
                         "size of its weights.")  # fmt: skip
    notes += [f"Not counted: {what} ({key})." for key, what in SMALL.items() if _says(fields, key)]
    return tuple(notes)


def _says(fields: ModelConfig, key: str) -> bool:
    value = fields.data.get(key)
    return value is True or (bool(value) and value != 1)  # one of something is what all have
