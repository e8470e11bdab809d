"""The thesis's choices, each made otherwise, trained and judged alike: what of them helps, and by how much (§6.2–6.4).

``networks`` are the variants' networks, ``variants`` the table of all, ``runs`` trains, judges and lets sample one.
"""
