"""A Gemma 4 drafter ("assistant"): a few small layers that propose the tokens after the target's next one.

Its layers have Q alone: they attend to what the target's last sliding and its last full layer have cached. So it has
no prompt to read and nothing to forget, and all drafts of a round stand at one rotary position.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from midfill.engine.causal_gemma import CausalGemma, run_layers
from midfill.engine.gemma4_config import DrafterConfig
from midfill.engine.kv import KVSlot


class Drafts(Protocol):
    """`Drafter.draft` by other means, for one target."""

    def draft(self, slot: KVSlot, token: int, count: int) -> list[int]: ...


class CentroidHead(nn.Module):
    """Logits of the likeliest groups of tokens alone; the vocabulary has as many groups, each of a centroid."""

    token_ordering: Tensor
    """Token ids [V], group by group."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.top_k = config.centroid_intermediate_top_k
        self.centroids = nn.Linear(config.hidden_size, config.num_centroids, bias=False)
        self.register_buffer("token_ordering", torch.empty(config.vocab_size, dtype=torch.long))

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Hidden state [hidden] and embeddings [V, hidden] -> logits [V], the lowest for all tokens not looked at."""
        groups = self.centroids(hidden).topk(self.top_k).indices
        tokens = self.token_ordering.long().view(self.centroids.out_features, -1)[groups].flatten()
        found = embeddings[tokens] @ hidden
        return (found.min() - 1).repeat(len(embeddings)).scatter(0, tokens, found)


class Drafter(nn.Module):
    """Parameter names are the checkpoint's."""

    kernels: Drafts | None = None
    """The same drafts on kernels, where there are any for this drafter and its target."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.config = config
        self.pre_projection = nn.Linear(2 * config.backbone_hidden_size, config.hidden_size, bias=False)
        self.post_projection = nn.Linear(config.hidden_size, config.backbone_hidden_size, bias=False)
        self.model = CausalGemma(config)
        self.masked_embedding = CentroidHead(config) if config.use_ordered_embeddings else None

    @torch.inference_mode()
    def draft(self, target: CausalGemma, slot: KVSlot, token: int, count: int) -> list[int]:
        """The `count` likeliest tokens after `token`, which follows what `slot` has cached of the target."""
        if self.kernels is not None:
            return self.kernels.draft(slot, token, count)
        hidden, drafts = slot.last_hidden, list[int]()
        assert hidden is not None
        for _ in range(count):
            logits, hidden = self.step(target, slot, token, hidden)
            token = int(logits.argmax())
            drafts.append(token)
        return drafts

    def step(self, target: CausalGemma, slot: KVSlot, token: int, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One draft: logits [V] of what follows `token`, and what stands for the hidden state at `token`.

        `hidden` is that of the token before, as the target normed it or as the last step gave it: [backbone hidden].
        """
        embedded = target.embed(torch.tensor(token, device=slot.device))
        x = self.pre_projection(torch.cat((embedded, hidden)))[None, None]
        # Of the round's first token, not of `token`: so the drafter was trained, as its K and V end there.
        position = torch.tensor([len(slot.tokens)], device=slot.device)

        def attend(index: int, q: Tensor, _k: Tensor | None, _v: Tensor | None) -> Tensor:
            layer = self.config.layers[index]
            # Two more than the target's own sliding layers see, as in transformers.
            seen = self.config.sliding_window + 1 if layer.is_sliding else len(slot.tokens)
            return slot.attend_cached(target.config.last_kv_layer(layer.kind), q, seen)

        scalars = self.model.causal_scalars()
        x = self.model.norm(run_layers(self.config, self.model.layers, x, position, attend, scalars))[0, 0]
        return self.logits(x), self.post_projection(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden state [hidden] behind the last norm -> logits [V]."""
        head = self.masked_embedding
        return self.model.logits(hidden) if head is None else head(hidden, self.model.embed_tokens.weight)
