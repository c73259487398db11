"""The training losses of nano: next token in causal mode, and denoising of several canvases a document."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from midfill.engine.causal_gemma import LayerAttend
from midfill.engine.diffusion_gemma import DiffusionGemma

CHUNK = 256
"""Rows of logits computed at once: 256 x 8192 float32 stay in a core's cache."""


class Batch(NamedTuple):
    """B documents of T tokens, each with K canvases of C positions side by side (KC = K * C)."""

    stream: Tensor
    """[B, T] prompt, middle and suffix head; what the causal mode reads."""
    targets: Tensor
    """[N] places in the flattened stream, none the first of a document, whose tokens the causal loss is about."""
    canvas: Tensor
    """[B, KC] clean canvas tokens."""
    hole: Tensor
    """[B, KC] bool: positions to be denoised."""
    holes: Tensor
    """[M] the same, as places in the flattened canvas: a card would be waited for to find them."""
    anchor: Tensor
    """[B, K] stream position at which the canvas starts: it sees the stream before it."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of cross entropies of soft-capped tied logits; keeps gradients, never the logits."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, cap: float) -> Tensor:
        grad_hidden, grad_weight = torch.empty_like(hidden), torch.zeros_like(weight, dtype=torch.float32)
        total = hidden.new_zeros((), dtype=torch.float32)
        chunk = CHUNK if hidden.device.type == "cpu" else 16384
        for start in range(0, len(hidden), chunk):
            rows, wanted = hidden[start : start + chunk], targets[start : start + chunk, None]
            squashed = (rows @ weight.T).float().div_(cap).tanh_()
            logits = squashed * cap
            normaliser = logits.logsumexp(dim=-1, keepdim=True)
            total += (normaliser - logits.gather(-1, wanted)).sum()
            grad = logits.sub_(normaliser).exp_()
            grad.scatter_add_(-1, wanted, -torch.ones_like(wanted, dtype=grad.dtype))
            grad = grad.mul_(squashed.square_().neg_().add_(1)).to(hidden.dtype)
            grad_hidden[start : start + chunk] = grad @ weight
            grad_weight += grad.T @ rows
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor):
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, grad_weight * grad, None, None


def linear_cross_entropy(model: DiffusionGemma, hidden: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in nats of hidden states [N, hidden] against target ids [N]."""
    cap = model.config.final_logit_softcapping
    assert cap is not None
    weight = model.embed_tokens.weight.to(hidden.dtype)
    return _LinearCrossEntropy.apply(hidden, weight, targets, cap) / max(1, len(targets))


def losses(
    model: DiffusionGemma, batch: Batch, generator: torch.Generator, temperature: float | None
) -> tuple[Tensor, Tensor]:
    """(denoising loss, causal loss), both in nats a token, [] on the device.

    With a `temperature`, canvases condition on what a first pass predicts at it; `generator` is of the model's device.
    """
    stream_keys: list[tuple[Tensor, Tensor]] = []
    hidden = model.encode(
        batch.stream,
        torch.arange(batch.stream.shape[1], device=batch.stream.device),
        _causal_attend(stream_keys, model),
    )
    targets = batch.stream.flatten()[batch.targets]
    causal = linear_cross_entropy(model, hidden.flatten(0, 1).index_select(0, batch.targets - 1), targets)
    noisy, soft, marked = _corrupt(model, batch, generator)
    attend = _canvas_attend(model, batch, stream_keys)
    positions = _canvas_positions(batch)
    if temperature is not None:
        with torch.no_grad():
            first = model.denoise(noisy, positions, soft, attend)
            predicted = (model.logits(_at_holes(first, batch)) / temperature).softmax(dim=-1)
            embedded = model.soft_embed(predicted).to(marked.dtype)
            soft = marked.flatten(0, 1).index_copy(0, batch.holes, embedded).view_as(marked)
    denoised = _at_holes(model.denoise(noisy, positions, soft, attend), batch)
    return linear_cross_entropy(model, denoised, batch.canvas.flatten()[batch.holes]), causal


def _at_holes(x: Tensor, batch: Batch) -> Tensor:
    """Of x [B, KC, hidden] what stands at holes: [M, hidden]."""
    return x.flatten(0, 1).index_select(0, batch.holes)


def _corrupt(model: DiffusionGemma, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy canvas [B, KC]; its first soft embedding, and the one with all pins marked, both [B, KC, hidden].

    Uniform noise on hole tokens with a rate of 1 for a quarter of the canvases, as in the sampler's first step, else
    U(0, 1). Seven canvases of ten carry their pins as one-hot self-conditioning from the first step on.
    """
    rows, canvases = batch.anchor.shape
    shape = (rows, canvases, batch.canvas.shape[1] // canvases)
    device = batch.canvas.device

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=device)

    rate = torch.where(uniform(rows, canvases, 1) < 0.25, 1.0, uniform(rows, canvases, 1))
    noise = torch.randint(0, model.config.vocab_size, shape, generator=generator, device=device).flatten(1)
    noisy = torch.where(batch.hole & (uniform(*shape) < rate).flatten(1), noise, batch.canvas)
    with torch.no_grad():
        marked = model.embed(batch.canvas) * ~batch.hole[..., None]
        marks = (uniform(rows, canvases, 1) < 0.7).expand(shape).flatten(1)
    return noisy, marked * marks[..., None], marked


def _canvas_positions(batch: Batch) -> Tensor:
    canvases = batch.anchor.shape[1]
    offsets = torch.arange(batch.canvas.shape[1] // canvases, device=batch.anchor.device)
    return (batch.anchor[..., None] + offsets).flatten(1)


def _causal_attend(stream_keys: list[tuple[Tensor, Tensor]], model: DiffusionGemma) -> LayerAttend:
    """Causal attention over the stream; appends each layer's K and V to `stream_keys`."""
    window, masks = model.config.sliding_window, {}

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        stream_keys.append((k, v))
        if q.shape[2] <= window or not model.config.layers[index].is_sliding:
            return F.scaled_dot_product_attention(q, *_repeat(q, k, v), is_causal=True, scale=1.0)
        if window not in masks:
            at = torch.arange(q.shape[2], device=q.device)
            distance = at[:, None] - at
            masks[window] = (distance >= 0) & (distance < window)
        return F.scaled_dot_product_attention(q, *_repeat(q, k, v), attn_mask=masks[window], scale=1.0)

    return attend


def _repeat(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    groups = q.shape[1] // k.shape[1]
    return k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)


def _canvas_attend(model: DiffusionGemma, batch: Batch, stream_keys: list[tuple[Tensor, Tensor]]) -> LayerAttend:
    """Each canvas sees itself and the stream before its anchor (sliding layers: the last window - 1 of it)."""
    canvases, stream = batch.anchor.shape[1], batch.stream.shape[1]
    size = batch.canvas.shape[1] // canvases
    at = torch.arange(stream, device=batch.anchor.device)
    before = at < batch.anchor[..., None]
    near = before & (at >= batch.anchor[..., None] - (model.config.sliding_window - 1))
    own = torch.eye(canvases, dtype=torch.bool, device=at.device).repeat_interleave(size, 0).repeat_interleave(size, 1)
    own = own.expand(len(before), -1, -1)
    masks = {
        sliding: torch.cat((seen.repeat_interleave(size, 1), own), dim=2)[:, None]
        for sliding, seen in ((True, near), (False, before))
    }

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        past_k, past_v = stream_keys[index]
        keys, values = _repeat(q, torch.cat((past_k, k), dim=2), torch.cat((past_v, v), dim=2))
        mask = masks[model.config.layers[index].is_sliding]
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=1.0)

    return attend
