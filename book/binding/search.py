"""A search that finds words of both languages of the book in all their forms: «голосов» finds «голос»."""

import re

import snowballstemmer
from sphinx.search import SearchLanguage
from sphinx.search.en import SearchEnglish
from sphinx.search.ru import SearchRussian

CYRILLIC = re.compile("[а-яё]", flags=re.IGNORECASE)
CHOICE = """
window.Stemmer = function () {
  const english = new EnglishStemmer(), russian = new RussianStemmer();
  this.stemWord = word => (/[а-яё]/i.test(word) ? russian : english).stemWord(word);
};
"""
"""The same choice of a stemmer in the browser, where what is asked for is cut to its stem."""


class BothLanguages(SearchLanguage):
    """Stems of English and of Russian words, each by the stemmer of its alphabet."""

    lang = "en"
    language_name = "English and Russian"
    stopwords = SearchEnglish.stopwords | SearchRussian.stopwords

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__(options)
        self.english, self.russian = (snowballstemmer.stemmer(name) for name in ("english", "russian"))
        parts = [each(options) for each in (SearchEnglish, SearchRussian)]
        self.js_stemmer_code = _in_the_browser(parts) + CHOICE

    def stem(self, word: str) -> str:
        """The stem under which a word is found."""
        return (self.russian if CYRILLIC.search(word) else self.english).stemWord(word.lower())


def _in_the_browser(languages: list[SearchLanguage]) -> str:
    """Sphinx's own scripts of these languages' stemmers."""
    from sphinx.search import _MINIFIED_JS_PATH as scripts

    names = ["base-stemmer.js", *(language.js_stemmer_rawcode for language in languages)]
    return "\n".join((scripts / name).read_text(encoding="utf-8") for name in names)
