"""Figures of notebook 05: the RBM against enumeration, the trained decoder (thesis §4.4, §6.2)."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from octavoice.figures.style import BLUE, GREEN, GREY, INK, ORANGE, SKY
from octavoice.music.roll import CLASS_NAMES, CLASSES, KEYS, LOWEST_MIDI

PROBABILITY_MAP = LinearSegmentedColormap.from_list("probability", ["white", SKY, BLUE, "#06304f"])


def bits(units: int) -> list[str]:
    """Labels of all states of some binary units, in counting order."""
    return [format(state, f"0{units}b") for state in range(2**units)]


def joint(p: np.ndarray, from_free_energy: np.ndarray) -> Figure:
    """Equation (3) as a table: ``p`` ``(visible_state, hidden_state)``, its margins beside it.

    ``from_free_energy`` ``(visible_state,)`` is p(x) computed without summing over h.
    """
    visible, hidden = (int(np.log2(n)) for n in p.shape)
    figure, axes = plt.subplots(2, 2, figsize=(9, 4.2), sharex="col", sharey="row", width_ratios=(4, 1.2),
                                height_ratios=(1, 2.6))
    rows, columns = np.arange(p.shape[1]), np.arange(p.shape[0])
    image = axes[1, 0].imshow(p.T, cmap=PROBABILITY_MAP, norm=PowerNorm(0.5, vmin=0), aspect="auto")
    axes[1, 0].set(xticks=columns, yticks=rows, yticklabels=bits(hidden), xlabel="visible state x",
                   ylabel="hidden state h")
    axes[1, 0].set_xticklabels(bits(visible), rotation=90)
    axes[0, 0].bar(columns, p.sum(axis=1), color=SKY, label="Σ over h of p(x, h)")
    axes[0, 0].plot(columns, from_free_energy, "o", color=INK, markersize=4, label="$e^{-E(x)}/Z$")
    axes[0, 0].set(ylabel="p(x)")
    axes[0, 0].legend(ncols=2, loc="upper right", bbox_to_anchor=(1, 1.45))
    axes[1, 1].barh(rows, p.sum(axis=0), color=SKY)
    axes[1, 1].set(xlabel="p(h)")
    axes[0, 1].set_axis_off()
    figure.colorbar(image, ax=axes[1, 1], label="p(x, h)", ticks=(0, 0.01, 0.05, 0.1, 0.15))
    return figure


def gibbs(p: np.ndarray, frequencies: dict[str, np.ndarray], chains: int, distance: np.ndarray,
          sampled: dict[int, float]) -> Figure:
    """Gibbs sampling against the exact distribution ``p`` ``(state,)``.

    ``frequencies`` of ``chains`` independent chains by name; ``distance[k]`` is the exact total
    variation distance after k steps, ``sampled`` the observed one by k.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(2.2, 1))
    at = np.arange(len(p))
    left.bar(at, p, color="0.85", edgecolor="0.6", label="exact p(x)")
    for (name, f), colour, shift in zip(frequencies.items(), (ORANGE, BLUE), (-0.17, 0.17), strict=True):
        left.errorbar(at + shift, f, 2 * np.sqrt(f * (1 - f) / chains), fmt="o", color=colour, markersize=4, label=name)
    left.set(xlabel="visible state x", ylabel="share of chains", xticks=at, ylim=(0, 1.25 * p.max()))
    left.set_xticklabels(bits(int(np.log2(len(p)))), rotation=90)
    left.legend(title=f"{chains} chains, ± 2 standard errors", title_fontsize=9, loc="upper right", ncols=3)
    right.semilogy(distance, color=GREY, label="exact: power of the\ntransition matrix")
    right.semilogy(list(sampled), list(sampled.values()), "o", color=BLUE, label="observed frequencies")
    noise = np.sqrt(2 / np.pi / chains * p * (1 - p)).sum() / 2
    right.axhline(noise, color=INK, linestyle=":", label="expected of exact draws")
    right.set(xlabel="Gibbs steps k from the data", ylabel="distance from p(x)", ylim=(noise / 4, 1.3))
    right.legend()
    return figure


def gradients(exact: np.ndarray, estimates: dict[int, np.ndarray], sizes: dict[str, int]) -> Figure:
    """Expected CD-k gradients against the exact gradient (5), one panel per k.

    ``exact`` and every estimate ``(parameter,)``; ``sizes`` says how many of them belong to b, c and W, in order.
    """
    figure, axes = plt.subplots(1, len(estimates), figsize=(9.5, 3.4), sharey=True, sharex=True)
    ends = np.cumsum([0, *sizes.values()])
    parts = list(zip(sizes, ends[:-1], ends[1:], "os^", (BLUE, ORANGE, GREEN), strict=True))
    for axis, (k, estimate) in zip(axes, estimates.items(), strict=True):
        axis.axline((0, 0), slope=1, color=GREY, linewidth=1)
        axis.axhline(0, color=GREY, linewidth=0.5)
        for name, first, last, marker, colour in parts:
            axis.plot(exact[first:last], estimate[first:last], marker, color=colour, markersize=6, label=f"∂/∂{name}")
        axis.set(title=f"CD-{k}", xlabel="exact gradient (5)")
    axes[0].set(ylabel="expected CD-k gradient")
    axes[0].legend()
    return figure


def masking(distributions: dict[str, np.ndarray], labels: list[str], distances: dict[str, np.ndarray]) -> Figure:
    """What the mask does to a small RBM.

    ``distributions`` name → ``(state,)`` over the states inside the mask, called ``labels``; ``distances`` name →
    total variation distance from the first of them after 1, 2, … Gibbs steps.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.7), width_ratios=(1.5, 1))
    at, width = np.arange(len(labels)), 0.8 / len(distributions)
    for i, ((name, p), colour) in enumerate(zip(distributions.items(), (INK, SKY, ORANGE), strict=True)):
        left.bar(at + (i - 1) * width, p, width, color=colour, label=name)
    left.set(xticks=at, xticklabels=labels, xlabel="state x after the mask", ylabel="probability")
    left.legend()
    for (name, distance), colour, style in zip(distances.items(), (BLUE, ORANGE), ("o-", "s--"), strict=True):
        right.semilogy(np.arange(1, len(distance) + 1), distance, style, color=colour, markersize=4, label=name)
    right.set(xlabel="Gibbs steps k", ylabel="distance from the conditional")
    right.legend()
    return figure


def training(curves: dict, baselines: dict[str, float], window: int) -> Figure:
    """Training of some decoders: ``curves`` name → metrics of :func:`~octavoice.training.fit.fit`.

    Left the CD-1 loss, a running mean over ``window`` batches (held-out: every point); right the held-out log
    pseudo-likelihood with the baselines as lines.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    for (name, metrics), colour, marker in zip(curves.items(), (BLUE, ORANGE, GREEN), "os^", strict=True):
        held_out = metrics.dropna()
        left.plot(metrics.train.rolling(window, min_periods=1).mean(), color=colour, linewidth=1, alpha=0.6)
        left.plot(held_out.held_out, marker + "-", color=colour, markersize=4, label=name)
        right.plot(held_out.held_out_pseudo, marker + "-", color=colour, markersize=4, label=name)
    for (name, level), style in zip(baselines.items(), (":", "--"), strict=True):
        right.axhline(level, color=INK, linestyle=style, linewidth=1, label=name)
    left.axhline(0, color=INK, linewidth=0.8)
    left.set(xlabel="iteration", ylabel="CD-1 loss, nats per step", title="What is minimised (points: held-out)")
    right.set(xlabel="iteration", ylabel="log pseudo-likelihood, nats per step", title="How it is judged (held-out)")
    left.set_yscale("symlog", linthresh=1)
    low, high = left.get_ylim()
    ticks = [tick for tick in (-100, -10, -1, -0.5, 0, 0.5, 1, 10, 100) if low < tick < high]
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def outside_mask(probabilities: dict[str, np.ndarray], allowed: np.ndarray, true: np.ndarray) -> Figure:
    """One step's probabilities before the mask, by decoder: each ``(key,)``; ``allowed`` and ``true`` ``(key,)``."""
    figure, axes = plt.subplots(len(probabilities), 1, figsize=(10, 2.1 * len(probabilities)), sharex=True, sharey=True)
    keys = np.arange(KEYS)
    for axis, (name, p) in zip(axes, probabilities.items(), strict=True):
        for part, colour, label in ((allowed > 0, BLUE, "allowed"), (allowed == 0, ORANGE, "zeroed by the mask")):
            axis.bar(keys[part], p[part], 0.9, color=colour, label=label)
        axis.plot(keys[true > 0], np.full(int(true.sum()), 1.06), "v", color=INK, label="truly struck")
        axis.set(title=name, ylabel="probability", ylim=(0, 1.15), yticks=(0, 0.5, 1))
    _octave_axis(axes[-1].xaxis)
    axes[-1].set(xlabel="key", xlim=(-1, KEYS))
    axes[0].legend(ncols=3, loc="upper right", bbox_to_anchor=(1, 1.38))
    return figure


def gibbs_steps(likelihood: dict[str, dict[int, float]], lost: dict[str, dict[int, float]],
                baselines: dict[str, tuple[float, float]]) -> Figure:
    """What k Gibbs steps are worth in generation: by decoder and k, log-likelihood and share of classes lost.

    ``baselines`` name → (log-likelihood, share lost), drawn as lines.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.7))
    for axis, data in zip(axes, (likelihood, lost), strict=True):
        for (name, values), colour, marker in zip(data.items(), (BLUE, ORANGE, GREEN), "os^", strict=True):
            axis.plot(list(values), list(values.values()), marker + "-", color=colour, label=name)
    for (name, levels), style in zip(baselines.items(), (":", "--"), strict=True):
        for axis, level in zip(axes, levels, strict=True):
            axis.axhline(level, color=INK, linestyle=style, linewidth=1, label=name)
    ticks = list(next(iter(likelihood.values())))
    for axis in axes:
        axis.set(xlabel="Gibbs steps k", xscale="log", xticks=ticks, xticklabels=ticks)
        axis.minorticks_off()
    axes[0].set(ylabel="log-likelihood of the true keys,\nnats per step", title="Held-out likelihood as generated")
    axes[1].set(ylabel="share of sounding classes", title="Classes decoded to no key", ylim=(0, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def decoded(probability: np.ndarray, keys: np.ndarray, true: np.ndarray, x12: np.ndarray) -> Figure:
    """A fragment decoded from its true classes.

    ``probability`` (after the mask), ``keys`` (sampled) and ``true`` ``(time, key)``; ``x12`` ``(time, pitch_class)``.
    """
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 6), sharex=True, height_ratios=(3.4, 1))
    used = np.flatnonzero((true + keys + (probability > 0.05)).any(axis=0))
    allowed = x12[:, np.arange(KEYS) % CLASSES] > 0
    span = 0.5, len(keys) + 0.5
    image = top.imshow(np.where(allowed, probability, np.nan).T, origin="lower", aspect="auto", cmap=PROBABILITY_MAP,
                       vmin=0, vmax=1, interpolation="none", extent=(*span, -0.5, KEYS - 0.5))
    top.set_facecolor("0.9")
    _mark(top, true, "s", "true key", markersize=7, markerfacecolor="none", markeredgecolor=INK)
    _mark(top, keys, ".", "sampled key", color=ORANGE, markersize=6)
    _octave_axis(top.yaxis)
    top.set(ylabel="key", ylim=(used.min(initial=KEYS - 1) - 2.5, used.max(initial=0) + 2.5))
    top.legend(ncols=2, loc="upper right", bbox_to_anchor=(1, 1.11))
    figure.colorbar(image, ax=top, label="probability after the mask", pad=0.01)
    bottom.imshow(x12.T, origin="lower", aspect="auto", cmap="Greys", interpolation="none", vmin=0, vmax=1.4,
                  extent=(*span, -0.5, CLASSES - 0.5))
    struck = np.stack([keys[:, p::CLASSES].any(axis=1) for p in range(CLASSES)], axis=1)
    _mark(bottom, (x12 > 0) & ~struck, "x", "class decoded to no key", color=ORANGE, markersize=5)
    bottom.set(xlabel="step (step 0 is given)", ylabel="pitch class", yticks=range(CLASSES))
    bottom.set_yticklabels(CLASS_NAMES, fontsize=7)
    bottom.legend(loc="upper right", bbox_to_anchor=(1, 1.3))
    return figure


def _mark(axis, where: np.ndarray, marker: str, label: str, **style) -> None:
    """Marks at the true cells of ``(time, row)``, whose first step is step 1."""
    step, row = np.nonzero(where)
    axis.plot(step + 1, row, marker, linestyle="none", label=label, **style)


def _octave_axis(axis) -> None:
    """Ticks at every C, named with its octave."""
    ticks = np.arange(3, KEYS, CLASSES)
    axis.set_ticks(ticks, [f"C{(key + LOWEST_MIDI) // 12 - 1}" for key in ticks])
