"""Packed weights stand together, and the model's own modules read them there."""

import msgspec
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.config import FULL, SLIDING
from midfill.engine.gemma4 import DecoderLayer
from midfill.engine.packed_layers import can_pack, pack


def assert_inside(parts: list[Tensor], whole: Tensor) -> None:
    """One behind the other they are all of `whole`, in its memory."""
    at = whole.data_ptr()
    for part in parts:
        assert part.data_ptr() == at
        at += part.nbytes
    assert at == whole.data_ptr() + whole.nbytes


def test_projections_are_views_of_the_packed_weights() -> None:
    model = small_model(kinds=[SLIDING, FULL])
    for layer, shape in zip(model.layers, model.config.layers, strict=True):
        assert isinstance(layer, DecoderLayer)
        packed, attention = pack(layer, shape), layer.self_attn
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        assert_inside([each.weight for each in projections if each is not None], packed.qkv)
        assert_inside([layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight], packed.gate_up)


def test_layers_that_share_k_and_v_with_others_of_their_model_cannot_be_packed() -> None:
    config = small_model(head_dim=16, kinds=[SLIDING, FULL, SLIDING, FULL]).config
    assert can_pack(config)
    assert can_pack(msgspec.structs.replace(config, num_kv_shared_layers=4))
    assert not can_pack(msgspec.structs.replace(config, num_kv_shared_layers=1))
