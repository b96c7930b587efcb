"""Configs of published models that say what they keep in words of their own.

As in ``published_configs.py``: only what a plan reads, and how many parameters the maker or the hub
names. Where the values are from stands above each; where a public repository quotes the hub's
``config.json``, that is what is meant by "as quoted".
"""

from __future__ import annotations

from typing import Any

from support.published_configs import CONFIGS

_BF16 = {"torch_dtype": "bfloat16"}

_KIMI_SEEING = (4, 8, 12, 16, 20, 24, 27)

_LLAMA_4 = {
    "model_type": "llama4_text", "hidden_size": 5120, "intermediate_size": 8192,
    "intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40,
    "num_key_value_heads": 8, "head_dim": 128, "num_experts_per_tok": 1,
    "attention_chunk_size": 8192, "vocab_size": 202048, "max_position_embeddings": 262144,
    "tie_word_embeddings": False, **_BF16,
}  # fmt: skip

ODD: dict[str, tuple[int, dict[str, Any]]] = {
    # the layers that attend, by number: the model card (9.78B, 29 and 3 layers), the hub's config
    # as quoted for its numbers, transformers' BambaConfig for the rest
    "Bamba-9B": (9_780_000_000, {
        "model_type": "bamba", "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "attn_layer_indices": [9, 18, 27], "mamba_d_conv": 4, "mamba_d_head": "auto",
        "mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 128,
        "vocab_size": 128256, "max_position_embeddings": 4096, "tie_word_embeddings": False,
        **_BF16}),
    # Mamba and attention side by side in every layer: the hub's config as quoted; a copy of its
    # weights in 4.5 bits takes 4,268,832,515 bytes
    "Falcon-H1-7B": (4_268_832_515 * 16 // 9, {
        "model_type": "falcon_h1", "hidden_size": 3072, "intermediate_size": 12288,
        "num_hidden_layers": 44, "num_attention_heads": 12, "num_key_value_heads": 2,
        "head_dim": 128, "attn_layer_indices": None, "mamba_d_conv": 4, "mamba_d_head": 128,
        "mamba_d_ssm": 3072, "mamba_d_state": 256, "mamba_expand": 2, "mamba_n_groups": 1,
        "mamba_n_heads": 24, "vocab_size": 130048, "max_position_embeddings": 262144,
        "tie_word_embeddings": False, **_BF16}),
    # layers that do one thing each, with two matrices: the hub's config as quoted
    "Nemotron-H-8B": (8_100_000_000, {
        "model_type": "nemotron_h", "hidden_size": 4096, "intermediate_size": 21504,
        "num_hidden_layers": 52, "num_attention_heads": 32, "num_key_value_heads": 8,
        "attention_head_dim": 128, "conv_kernel": 4, "expand": 2, "mamba_head_dim": 64,
        "mamba_num_heads": 128, "n_groups": 8, "ssm_state_size": 128, "vocab_size": 131072,
        "max_position_embeddings": 8192, "tie_word_embeddings": False, **_BF16,
        "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"}),
    # lightning attention: the config in the maker's repository, the card's 456B
    "MiniMax-M1": (456_000_000_000, {
        "model_type": "minimax_m1", "hidden_size": 6144, "intermediate_size": 9216,
        "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
        "head_dim": 128, "num_local_experts": 32, "num_experts_per_tok": 2,
        "shared_intermediate_size": 0, "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10,
        "sliding_window": None, "vocab_size": 200064, "max_position_embeddings": 10240000,
        "tie_word_embeddings": False}),
    # a latent and states: the hub's config as quoted, the card's 48B
    "Kimi-Linear-48B-A3B": (48_000_000_000, {
        "model_type": "kimi_linear", "hidden_size": 2304, "intermediate_size": 9216,
        "moe_intermediate_size": 1024, "num_hidden_layers": 27, "num_attention_heads": 32,
        "num_key_value_heads": 32, "head_dim": 72, "kv_lora_rank": 512, "q_lora_rank": None,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "num_experts": 256,
        "num_experts_per_token": 8, "num_shared_experts": 1, "first_k_dense_replace": 1,
        "moe_layer_freq": 1, "vocab_size": 163840, "model_max_length": 1048576,
        "tie_word_embeddings": False, "dtype": "bfloat16", "linear_attn_config": {
            "full_attn_layers": list(_KIMI_SEEING), "head_dim": 128, "num_heads": 32,
            "kda_layers": [layer for layer in range(1, 28) if layer not in _KIMI_SEEING],
            "short_conv_kernel_size": 4}}),
    # the last layers keep nothing: transformers' Gemma3nTextConfig, which is E4B; the parameters
    # of its text part as llama-bench prints them
    "gemma-3n-E4B": (6_870_000_000, {
        "model_type": "gemma3n_text", "hidden_size": 2048, "intermediate_size": [16384] * 35,
        "num_hidden_layers": 35, "num_attention_heads": 8, "num_key_value_heads": 2,
        "head_dim": 256, "num_kv_shared_layers": 15, "sliding_window": 512,
        "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7,
        "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144,
        "altup_num_inputs": 4, "laurel_rank": 64, "vocab_size": 262400,
        "max_position_embeddings": 32768, **_BF16}),
    # fewer and larger heads where a layer sees everything: the hub's config as quoted, and its
    # count of parameters, which has the part that sees pictures
    "gemma-4-31B": (31_273_088_876, {
        "model_type": "gemma4_text", "hidden_size": 5376, "intermediate_size": 21504,
        "num_hidden_layers": 60, "num_attention_heads": 32, "num_key_value_heads": 16,
        "num_global_key_value_heads": 4, "head_dim": 256, "global_head_dim": 512,
        "attention_k_eq_v": True, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0,
        "sliding_window": 1024, "enable_moe_block": False, "num_experts": None,
        "use_double_wide_mlp": False,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 10,
        "vocab_size": 262144, "max_position_embeddings": 262144, "tie_word_embeddings": True,
        "dtype": "bfloat16"}),
    # an index besides the latent: DeepSeek-V3 and the sizes of its index, as quoted
    "DeepSeek-V3.2": (671_026_419_200, {
        **CONFIGS["DeepSeek-V3"][1], "model_type": "deepseek_v32", "index_head_dim": 128,
        "index_n_heads": 64, "index_topk": 2048}),
    # sections inside of the config: the hub's config as quoted, the maker's 132B
    "dbrx": (132_000_000_000, {
        "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40,
        "max_seq_len": 32768, "vocab_size": 100352, "tie_word_embeddings": False, **_BF16,
        "attn_config": {"clip_qkv": 8, "kv_n_heads": 8, "rope_theta": 500000},
        "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}}),
    # groups instead of heads: the hub's config as a log of transformers shows it
    "glm-4-9b-chat": (9_400_000_000, {
        "model_type": "chatglm", "hidden_size": 4096, "ffn_hidden_size": 13696, "num_layers": 40,
        "num_hidden_layers": 40, "num_attention_heads": 32, "kv_channels": 128,
        "multi_query_attention": True, "multi_query_group_num": 2, "padded_vocab_size": 151552,
        "vocab_size": 151552, "seq_length": 131072, "tie_word_embeddings": False, **_BF16}),
    # experts in every layer, and in every second: the config of Scout's text part as an issue of
    # vLLM shows it, Megatron's recipe for Maverick; the cards' 109B and 400B
    "Llama-4-Scout": (109_000_000_000, {
        **_LLAMA_4, "num_local_experts": 16, "interleave_moe_layer_step": 1,
        "moe_layers": list(range(48)), "no_rope_layers": [1, 1, 1, 0] * 12}),
    "Llama-4-Maverick": (400_000_000_000, {
        **_LLAMA_4, "num_local_experts": 128, "interleave_moe_layer_step": 2}),
}  # fmt: skip

BY_HAND: dict[str, tuple[int, int, int]] = {
    # name: bytes a token, bytes of one more token in a long conversation, bytes of a conversation
    #
    # keys and values x layers x heads x numbers x 2 bytes: 3 of 32 layers; 29 keep 3 steps of
    # (8,192 + 2 x 128) and a state of 8,192 x 128
    "Bamba-9B": (2 * 3 * 8 * 128 * 2, 12_288, 29 * 2 * (3 * (8192 + 2 * 128) + 8192 * 128)),
    # all 44 do both: 3 steps of (3,072 + 2 x 256), a state of 3,072 x 256
    "Falcon-H1-7B": (
        2 * 44 * 2 * 128 * 2, 45_056, 44 * 2 * (3 * (3072 + 2 * 256) + 3072 * 256)),
    # 4 of 52 attend, 24 keep 3 steps of (8,192 + 2 x 8 x 128) and, in 32 bits, 8,192 x 128
    "Nemotron-H-8B": (
        2 * 4 * 8 * 128 * 2, 16_384, 24 * (2 * 3 * (8192 + 2 * 8 * 128) + 4 * 8192 * 128)),
    # 10 of 80 attend, 70 keep 64 squares of 128
    "MiniMax-M1": (2 * 10 * 8 * 128 * 2, 40_960, 70 * 2 * 64 * 128 * 128),
    # 7 of 27 keep a latent, 20 keep 3 steps of 3 x 32 x 128 and, in 32 bits, 32 squares of 128
    "Kimi-Linear-48B-A3B": (
        7 * (512 + 64) * 2, 8_064, 20 * (2 * 3 * 3 * 32 * 128 + 4 * 32 * 128 * 128)),
    # 20 of 35 layers keep something, 4 of these see everything
    "gemma-3n-E4B": (2 * 20 * 2 * 256 * 2, 2 * 4 * 2 * 256 * 2, 0),
    # 50 layers with 16 heads of 256, 10 with 4 of 512
    "gemma-4-31B": (2 * (50 * 16 * 256 + 10 * 4 * 512) * 2, 81_920, 0),
    # a latent of 576 in 16 bits, an index of 128 in 8 and its scale in 32
    "DeepSeek-V3.2": (61 * ((512 + 64) * 2 + 128 + 4), 78_324, 0),
    "dbrx": (2 * 40 * 8 * 128 * 2, 163_840, 0),
    "glm-4-9b-chat": (2 * 40 * 2 * 128 * 2, 40_960, 0),
    # every fourth of 48 layers sees more than its chunk of 8,192
    "Llama-4-Scout": (2 * 48 * 8 * 128 * 2, 49_152, 0),
    "Llama-4-Maverick": (2 * 48 * 8 * 128 * 2, 49_152, 0),
}  # fmt: skip
