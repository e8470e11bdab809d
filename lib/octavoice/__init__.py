"""Octavoice: a reproducible replication of S. M. Ivanov, "Neural Music Generation" (MSU, 2018).

Rooms, lowest floor first; imports run downward only:

``music``       what a piece is here: rolls, octave compression, the clock, MIDI, score, sound
``corpus``      where pieces come from: reading, filters, the packed store, fragments
``thesis``      the proposed model, one file per subsection of §6
``experiment``  presets, training, likelihoods, statistics, provenance
``figures``     drawing only: data in, a matplotlib Figure out
"""

__version__ = "0.1.0"
