"""Where pieces come from: reading, the filters of §7.1, the packed store, splits and fragments."""

from octavoice.corpus.filters import Verdict, judge
from octavoice.corpus.fragments import Batch, Fragments
from octavoice.corpus.sources import check
from octavoice.corpus.splits import split_pieces
from octavoice.corpus.store import Corpus, load

__all__ = ["Batch", "Corpus", "Fragments", "Verdict", "check", "judge", "load", "split_pieces"]
