"""Steps of 88 keys, as tensors: what networks read off them (§6.2, §6.3)."""

import torch
from torch import Tensor
from torch.nn import functional

from octavoice.music.roll import CLASSES, CLOCK_BITS


def left_of(durations: Tensor) -> Tensor:
    """Steps for which each key still sounds from every step on, of ``durations`` ``(time, batch, key)``."""
    time = torch.arange(len(durations), device=durations.device)[:, None, None]
    return (torch.where(durations > 0, time + durations, 0.0).cummax(dim=0).values - time).clamp_min(0)


def piece_clock(position: Tensor, like: Tensor) -> Tensor:
    """The clock τ (§6.3) of the steps numbered ``position`` ``(time, batch)`` in the piece: ``(time, batch, 6)``."""
    bits = torch.arange(CLOCK_BITS - 1, -1, -1, device=position.device)
    return ((position.long()[..., None] >> bits) & 1).to(like.dtype)


def compressed(x: Tensor) -> Tensor:
    """The octave compression (§6.2) of rolls ``(…, key)``: ``(…, pitch_class)``, key 0 being class 0."""
    return functional.pad(x, (0, -x.shape[-1] % CLASSES)).unflatten(-1, (-1, CLASSES)).amax(dim=-2)
