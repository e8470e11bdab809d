"""Measurements behind the claims that no notebook makes: each module takes rolls and returns plain numbers.

``voices`` C12, ``chords`` C11, ``keys`` C13 and C14, ``priming`` C15, ``rhythm`` C16, ``register`` C17, ``texture`` C26
to C28, ``attending`` C3 and C18, ``copies`` C4 and C21, ``field`` the statistics that the field uses, ``music`` C1, C23
and C24 of a corpus, ``cost`` C2, ``rivals`` C6–C8, C19 and C25, ``likelihoods`` how well likelihoods are known;
``samples`` puts together what is measured of one run's samples.
"""
