"""Every claim of the thesis with its verdict: computed from stored results, never typed (claims C1 to C28).

``table`` puts it together, with the words of the claims in ``thesis/claims.toml``; ``stored`` reads the results,
``record`` turns what a rule finds into a verdict; ``data``, ``training`` and ``music`` hold the rules; ``choices`` says
which of the thesis's choices help, ``deviations`` what is done otherwise than in the thesis and what that does.
"""
