"""Where pieces come from: reading, the filters of §7.1, the packed store, splits and fragments."""

from octavoice.corpus.filters import Verdict, judge
from octavoice.corpus.fragments import Batch, Fragments
from octavoice.corpus.pieces import Pieces
from octavoice.corpus.sources import check, in_full
from octavoice.corpus.store import Corpus, load

__all__ = ["Batch", "Corpus", "Fragments", "Pieces", "Verdict", "check", "in_full", "judge", "load"]
