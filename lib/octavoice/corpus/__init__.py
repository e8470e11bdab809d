"""Where pieces come from: reading, the filters of §7.1, the packed store, splits and fragments."""

from octavoice.corpus.filters import Verdict, judge
from octavoice.corpus.sources import check, in_full
from octavoice.corpus.store import Corpus, load
from octavoice.music.pieces import Pieces

__all__ = ["Corpus", "Pieces", "Verdict", "check", "in_full", "judge", "load"]
