"""Rules of the claims on what the networks compose: C11 to C18, C22, C26 to C28 (§7.3, §7.4)."""

from octavoice.results.claims.record import Part, missing, part
from octavoice.results.claims.stored import MAIN, Stored, Value
from octavoice.statistics import texture
from octavoice.thesis.limits import limit
from octavoice.thesis.voices import VOICES


def _keys(stored: Stored, name: str, row: str = "samples") -> Value | None:
    """A column of 07's table of keys, over seeds."""
    def of(seed: int) -> float | None:
        table = stored.table("c11_c13_keys", seed=seed)
        return None if table is None else table.loc[row, name]
    return stored.over_seeds(of)


def _samples(stored: Stored, *keys: str | int) -> Value | None:
    return stored.measured("samples", *keys)


def _beside_real(stored: Stored, subject: str, name: str) -> tuple[Value | None, Value | None]:
    """A number of the samples, and the same of real fragments."""
    return _samples(stored, subject, "samples", name), _samples(stored, subject, "real", name)


def c11(stored: Stored) -> list[Part]:
    """Constantly: more than one step of every bar strikes a triad. As in music: among steps of three classes or more at
    least three quarters of the share in held-out pieces, in every seed. Plausible: transitions between triads lie
    nearer to those of real music than the same triads in random order do."""
    return [part("triad steps a bar", lambda v: v.low > limit("C11", "triad steps a bar"),
                 _samples(stored, "chords", "samples", "triad steps a bar")),
            part("triads among steps of three or more against held-out",
                 lambda a, b: a.low > limit("C11", "share of music's triads") * b.value,
                 _keys(stored, "triads"), _keys(stored, "triads", "held-out pieces")),
            part("divergence of transitions against shuffled ones", lambda a, b: a.value < b.low,
                 _samples(stored, "chords", "transitions", "samples"),
                 _samples(stored, "chords", "transitions", "samples, triads shuffled"))]


def c12(stored: Stored) -> list[Part]:
    """Most active: voice 1 declines least, in every seed. Rarely: it declines on fewer than 5 % of steps that strike.
    Later ones too: after it declined voice 2 sounds less than a tenth of the time; and still less than half as often as
    otherwise on steps that strike, where silence cannot be the reason. No such effect of later voices: for none of
    them does declining move a later voice by more than 0.1. Use: a later voice's decision is truer where it is told
    what earlier ones declined than where that is hidden from it, and than where it is told another fragment's."""
    return [part("voice 1 sounds more often than the next most active, by", lambda v: v.low > 0, _lead(stored)),
            part("voice 1 sounds on steps that strike", lambda v: v.low > limit("C12", "sounds on struck steps"),
                 _samples(stored, "voices", "sounds on struck steps", 0)),
            part("voice 2 sounds after voice 1 declined", lambda v: v.high < limit("C12", "sounds after it declined"),
                 _pair(stored, 1, 2, "declined")),
            part("the same on steps that strike, against after it sounded",
                 lambda a, b: a.high < limit("C12", "of otherwise") * b.low,
                 _samples(stored, "voices", "pairs on struck steps", 0, "sounds if declined"),
                 _samples(stored, "voices", "pairs on struck steps", 0, "sounds if sounded")),
            part("largest effect of voices 2 to 4 on later ones",
                 lambda v: v.high < limit("C12", "effect of a later voice"), _later(stored)),
            *[part(f"nats by which a later decision is truer, what was declined told and not {instead}",
                   lambda v: v.low > 0, stored.measured("declined", "all later voices", instead))
              for instead in ("hidden", "another's")]]


def _lead(stored: Stored) -> Value | None:
    def of(seed: int) -> float | None:
        table = stored.table("fig16_notes_per_voice", seed=seed)
        return None if table is None else table["silent"].iloc[1:].min() - table["silent"].iloc[0]
    return stored.over_seeds(of)


def _pair(stored: Stored, v: int, w: int, given: str) -> Value | None:
    """P(w sounds | v declined, or sounded), over seeds."""
    def of(seed: int) -> float | None:
        table = stored.table("c12_given_declined", seed=seed, index=[0, 1])
        return None if table is None else table.loc[(v, w), f"sounds if {given}"]
    return stored.over_seeds(of)


def _later(stored: Stored) -> Value | None:
    """The largest difference that a decision of voice 2 or later makes to one after it, over seeds."""
    def of(seed: int) -> float | None:
        table = stored.table("c12_given_declined", seed=seed, index=[0, 1])
        if table is None:
            return None
        effects = (table["sounds if sounded"] - table["sounds if declined"]).abs()
        return max(effects.loc[(v, w)] for v in range(2, VOICES) for w in range(v + 1, VOICES + 1))
    return stored.over_seeds(of)


def c13(stored: Stored) -> list[Part]:
    """In key: in windows of 64 steps as many onsets as in held-out pieces less 0.05, in every seed. Forms: in
    most windows the seven most frequent classes are exactly those of a major or minor key. In use: of the seven
    notes of the best form six and a half on average have at least a quarter of an even share of the onsets. Real
    fragments stand beside both."""
    return [part("onsets in the window's key against held-out",
                 lambda a, b: a.low > b.value - limit("C13", "short of held-out"),
                 _keys(stored, "in key by window"), _keys(stored, "in key by window", "held-out pieces")),
            part("windows whose seven classes are a form, beside real",
                 lambda ours, _: ours.low > limit("C13", "windows that are a form"),
                 *_beside_real(stored, "keys", "seven most frequent are a form")),
            part("notes of the form in use, beside real", lambda ours, _: ours.low > limit("C13", "notes in use"),
                 *_beside_real(stored, "keys", "notes of the form in use"))]


def c14(stored: Stored) -> list[Part]:
    """Random times: by χ² changes of key prefer none of the four bars of the clock's cycle, at 5 %. After a
    low-probability draw: the least likely draw near a change of key is less likely than near other bar lines, by a
    permutation within samples, at 5 %. Both of all seeds together."""
    return [part("p of a preferred bar of the cycle", lambda p: p.value > limit("C14", "p"),
                 stored.tested("samples", "modulations", "phase p")),
            part("p of less likely draws about changes", lambda p: p.value < limit("C14", "p"),
                 stored.tested("samples", "modulations", "p"))]


def c15(stored: Stored) -> list[Part]:
    """Key: samples lie more in their own prime's key than in another prime's, by 0.05 of the onsets or more, in every
    seed. Rhythm: their bars agree more with their own prime's than with another's. Not its continuation: fewer than
    5 % of the struck steps are those of the piece that the prime opens."""
    def passed(seed: int) -> float | None:
        found = stored.json("c15_key", seed=seed)
        return found and found["own minus another's prime"]
    return [part("onsets in key, own less another's prime",
                 lambda v: v.low > limit("C15", "onsets more in the own key"), stored.over_seeds(passed)),
            part("places of the bar that agree, own less another's", lambda v: v.low > 0,
                 _samples(stored, "prime", "rhythm", "difference")),
            part("struck steps as in the piece itself", lambda v: v.high < limit("C15", "steps as in the piece"),
                 _samples(stored, "prime", "continuation", "own"))]


def c16(stored: Stored) -> list[Part]:
    """Simple: more quarters than in real music are a rest, a quarter, eighths, sixteenths or dotted. Rarely: the bar's
    figure changes less than half as often. Toward simpler: most changes are to fewer onsets. 1-1-0-1: a
    quantised triplet falls on it and in music it goes with onsets off the grid; and a sample has it more often if its
    prime does."""
    return [part("simple figures against real", lambda a, b: a.low > b.high,
                 *_beside_real(stored, "rhythm", "simple figures")),
            part("changes of the bar's figure against real", lambda a, b: a.high < limit("C16", "changes") * b.low,
                 *_beside_real(stored, "rhythm", "changes of bar figure")),
            part("changes to fewer onsets", lambda v: v.low > limit("C16", "changes to fewer onsets"),
                 _samples(stored, "rhythm", "samples", "changes to fewer onsets")),
            part("rank correlation of 1-1-0-1 with onsets off the grid",
                 lambda r: r.value > limit("C16", "rank correlation"),
                 stored.measured("music", "triplets", "rank correlation")),
            part("1-1-0-1 where the prime has it against where not", lambda a, b: a.low > b.high,
                 _samples(stored, "rhythm", "triplet", "prime has it"),
                 _samples(stored, "rhythm", "triplet", "prime has it not"))]


def c17(stored: Stored) -> list[Part]:
    """No clear melody: the highest key leaps by more than an octave more often than in real music. Chaotic: below C3
    the classes are used more evenly than in real music, and more onsets there lie out of the key than above. Whether
    one hears it is another matter."""
    return [part("leaps of the highest key against real", lambda a, b: a.low > b.high,
                 *_beside_real(stored, "register", "leaps of the highest key")),
            part("bits of classes below C3 against real", lambda a, b: a.low > b.high,
                 *_beside_real(stored, "register", "bits of low classes")),
            part("onsets out of key, below C3 against above", lambda a, b: a.low > b.high,
                 _samples(stored, "register", "samples", "low onsets out of key"),
                 _samples(stored, "register", "samples", "high onsets out of key"))]


def c18(stored: Stored) -> list[Part]:
    """A statistic of recent notes: what is read correlates with the counts of the last 16 steps at 0.7 or more. A
    statistic and no copy: the weights spread over at least four of the eight periods."""
    return [part("correlation of the read with recent counts", lambda v: v.low > limit("C18", "correlation"),
                 _samples(stored, "attention", "counts of 16 steps")),
            part("periods in use", lambda v: v.low > limit("C18", "periods in use"),
                 _samples(stored, "attention", "periods in use"))]


def c22(stored: Stored) -> list[Part]:
    """Answers of listeners, and none are stored: no program can stand in for them."""
    answers = stored.json("listening_test", MAIN, 1)
    return [missing("rank among 24 by listeners")] if answers is None else [
        Part("rank among 24 by listeners", str(answers["rank"]), answers["rank"] <= limit("C22", "rank"))]


def _texture(stored: Stored, *keys: str) -> Value | None:
    return stored.measured("texture", *keys)


def c26(stored: Stored) -> list[Part]:
    """A texture has no contrast: bars of one sample differ less from each other in their notes than those of real
    music do. Averaged: samples differ less from each other in notes a bar than real fragments do. Blurred: notes fall
    more evenly on the sixteen places of the bar than in real music. Each by intervals that do not touch, in every
    seed."""
    def beside(name: str) -> tuple[Value | None, Value | None]:
        return _texture(stored, "texture", "samples", name), _texture(stored, "texture", "real", name)
    return [part("contrast of bars against real", lambda a, b: a.high < b.low, *beside("contrast of bars")),
            part("difference of fragments against real", lambda a, b: a.high < b.low,
                 *beside("difference of fragments")),
            part("bits of the bar's places against real", lambda a, b: a.low > b.high, *beside("bits of places"))]


def c27(stored: Stored) -> list[Part]:
    """Too rarely: voice 1 declines on fewer steps than are silent in held-out music, in every seed. It decides the
    rhythm: more than nine in ten of the steps on which it declines stay silent. Poorer: figures of a quarter have fewer
    bits than those of real music, by intervals that do not touch."""
    def silent(seed: int) -> float | None:
        table = stored.table("c16_rhythm", seed=seed)
        return None if table is None else 1 - table.loc["held-out pieces", "struck"]

    def declines(seed: int) -> float | None:
        table = stored.table("fig16_notes_per_voice", seed=seed)
        return None if table is None else table["silent"].iloc[0]
    return [part("steps on which voice 1 declines against silent steps in held-out pieces", lambda a, b: a.high < b.low,
                 stored.over_seeds(declines), stored.over_seeds(silent)),
            part("of these steps those that stay silent", lambda v: v.low > limit("C27", "stay silent"),
                 _texture(stored, "first voice", "silent where it declined")),
            part("bits of a quarter's figure against real", lambda a, b: a.high < b.low,
                 *_beside_real(stored, "rhythm", "bits a quarter"))]


def c28(stored: Stored) -> list[Part]:
    """About 50: seven of twelve classes lie on 45 to 55 of 88 keys, by arithmetic. Remembered: a bar's onsets lie among
    the seven most frequent classes of the four bars before as often as in real music less 0.05, and more often than
    among those of another sample. That a network on 88 keys remembers less has no run whose samples are kept."""
    count = texture.keys_of_a_harmony()
    return [Part("keys of one harmony's seven notes", f"{count:.0f} of 88",
                 limit("C28", "keys, at least") < count < limit("C28", "keys, at most")),
            part("onsets among the notes heard against real",
                 lambda a, b: a.low > b.value - limit("C28", "short of real"),
                 *(_texture(stored, "harmony", name, "own") for name in ("samples", "real"))),
            part("the same less among another sample's notes", lambda v: v.low > 0,
                 _texture(stored, "harmony", "samples", "difference")),
            missing("the same of a network on 88 keys")]
