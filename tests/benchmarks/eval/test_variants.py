"""Ways to fill are made of settings that there are."""

import msgspec
from tests.benchmarks.eval.variants import VARIANTS

from midfill.engine.changed_settings import changed
from midfill.engine.generation_defaults import GenerationDefaults
from midfill.engine.installed import embedded_model
from midfill.engine.recall import read_recall
from midfill.engine.settings import settings_for
from midfill.engine.tokenizer import Tokenizer


def test_each_variant_is_another_way_to_fill() -> None:
    settings = settings_for(Tokenizer(embedded_model() / "tokenizer.json"), GenerationDefaults(eos_token_ids=()), 64)
    shipped = msgspec.structs.replace(settings, recall=read_recall(embedded_model()))
    assert shipped.recall is not None
    ways = [(changed(shipped, variant.changes), variant.asked) for variant in VARIANTS.values()]
    assert all(way not in ways[:number] for number, way in enumerate(ways))
    assert changed(shipped, VARIANTS["all"].changes) == shipped
