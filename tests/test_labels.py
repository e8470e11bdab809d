"""Titles of pieces as pages and pictures show them."""

import numpy as np
import pytest

from octavoice.music.piece import Piece, shortened


@pytest.mark.parametrize(("text", "short"), [
    ("Prelude", "Prelude"), ("x" * 44, "x" * 44), ("x" * 60, "x" * 43 + "…"),
    ("“Choral Songs in honour of Her Majesty Queen Victoria”", "“Choral Songs in honour of Her Majesty…”"),
    ("The “Moonlight” sonata for the pianoforte, in two movements", "The “Moonlight” sonata for the pianoforte…"),
    ("«Вокализ» и другие сочинения для фортепиано в двух частях", "«Вокализ» и другие сочинения для фортепиано…"),
    ("Étude d’exécution transcendante, n° 4 en ré mineur", "Étude d’exécution transcendante, n° 4 en ré…")])
def test_a_long_title_is_cut_between_words_and_its_quotation_closed(text, short):
    assert shortened(text) == short
    assert len(short) <= 45


def test_a_piece_is_labelled_by_its_title_else_by_its_file():
    roll = np.ones((4, 88), dtype=np.uint8)
    assert Piece("a/b/c.mid", roll, 1, ((4, 4),)).label == "c"
    assert Piece("a/b/c.mid", roll, 1, ((4, 4),), title="“" + "word " * 12 + "”").label.endswith("word…”")
