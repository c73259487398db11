"""The shape of nano's drafter: its config in the official format, its first weights, and how it is saved."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.config import FULL
from midfill.engine.drafter import Drafter
from midfill.engine.gemma4_config import parse_drafter_config

LAYERS = [FULL]
"""A sliding layer before it costs half as much again, and drafts no better: 34.8 % accepted at first, not 34.2."""
HIDDEN, INTERMEDIATE, NUM_HEADS = 128, 512, 4


def drafter_json(target: dict[str, Any]) -> dict[str, Any]:
    """`config.json` of a drafter for nano, whose own is `target`."""
    theirs = target["text_config"]
    same = ("vocab_size", "num_key_value_heads", "num_global_key_value_heads", "head_dim", "global_head_dim")
    more = ("sliding_window", "max_position_embeddings", "rms_norm_eps", "hidden_activation", "attention_bias")
    ids = ("pad_token_id", "eos_token_id", "bos_token_id", "rope_parameters", "tie_word_embeddings")
    text = {
        "model_type": "gemma4_text",
        **{key: theirs[key] for key in (*same, *more, *ids)},
        "attention_k_eq_v": True,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_attention_heads": NUM_HEADS,
        "num_hidden_layers": len(LAYERS),
        "num_kv_shared_layers": len(LAYERS),
        "layer_types": LAYERS,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": 0,
        "enable_moe_block": False,
        "final_logit_softcapping": None,
    }
    return {
        "architectures": ["Gemma4AssistantForCausalLM"],
        "model_type": "gemma4_assistant",
        "backbone_hidden_size": theirs["hidden_size"],
        "use_ordered_embeddings": False,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
        "text_config": text,
    }


def new_drafter(config: dict[str, Any], teacher: CausalGemma) -> Drafter:
    """A drafter with fresh weights, float32; its head is the best one of its width for the teacher's logits."""
    drafter = Drafter(parse_drafter_config(config, Path("config.json")))
    for name, parameter in drafter.named_parameters():
        if "q_norm" in name:
            nn.init.constant_(parameter, 0.42)  # scores are not divided by sqrt(head size)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    vectors, sizes, _ = torch.linalg.svd(teacher.embed_tokens.weight.float(), full_matrices=False)
    with torch.no_grad():
        drafter.model.embed_tokens.weight.copy_(vectors[:, :HIDDEN] * sizes[:HIDDEN])
    return drafter


def save(drafter: Drafter, config: dict[str, Any], out: Path) -> None:
    """Writes an official Hugging Face directory."""
    out.mkdir(exist_ok=True)
    tensors = {name: tensor.detach().bfloat16().contiguous() for name, tensor in drafter.state_dict().items()}
    save_file(tensors, out / "model.new", {"format": "pt"})
    (out / "model.new").replace(out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
