"""The proposed model, one file per subsection of §6.

``attention``  §6.3  main module with attention over the past
``voices``     §6.4  the voice-by-voice polyphonic sampler and its objective
``rivals``     §6.4  the first scheme, which collapses, and the softmax over all step vectors
``decoder``    §6.2, §4.4  the LSTM-RBM from 12 classes back to 88 keys
``generator``  §6.1  main module and sampler as the network that continues the 12 classes
``particles``  §6.4  the sampler's likelihood by particle filter
``model``      the two networks under the interface of :mod:`octavoice.model`, and the model's card
``values``     what the thesis reports, kept once

Yardsticks: ``lstm`` (the equations of §4.3), ``plain`` (training step by step), ``enumeration`` (every decision
path of a small sampler), ``exact`` (every state of a small RBM).
"""
