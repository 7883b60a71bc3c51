"""How an index is made from documents: everything but the documents that shapes it.

Owns the recipe as a value, its digest, and naming what differs between two recipes. It makes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cape.names import Digest

INDEX_FORMAT = 1
"""The format of indices that this version reads and writes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The parts that make an index what it is.

    `extractors` are names with versions, sorted, of what read the documents; `chunker` and `words` name the
    version and limits of what cuts and of what analyses words. `embedder` is the digest of the model, its
    tokenizer and settings; None for an index without vectors.
    """

    extractors: tuple[str, ...]
    chunker: str
    words: str
    embedder: Digest | None
    format: int = INDEX_FORMAT

    @property
    def parts(self) -> Mapping[str, str]:
        """Each part as text, by its name in the lock."""
        return {
            "extractor": ", ".join(self.extractors),
            "chunker": self.chunker,
            "words": self.words,
            "embedder": str(self.embedder) if self.embedder else "none",
            "format": str(self.format),
        }

    @property
    def digest(self) -> Digest:
        """Of all parts."""
        return Digest.of_lines(f"{name} {part}" for name, part in self.parts.items())

    def reading(self, extractor: str) -> Digest:
        """Of what a document's chunks depend on besides its bytes, if `extractor` reads it."""
        return Digest.of_lines([extractor, self.chunker, str(self.format)])

    def read_by(self, extractors: Iterable[str]) -> Recipe:
        """The same recipe, with these extractors."""
        return replace(self, extractors=tuple(sorted(set(extractors))))

    def to_json(self) -> dict[str, object]:
        """The recipe as JSON values."""
        return {
            "extractors": list(self.extractors),
            "chunker": self.chunker,
            "words": self.words,
            "embedder": self.embedder.hex if self.embedder else None,
            "format": self.format,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Recipe:
        """The recipe of `to_json`'s values. Raises `KeyError`, `TypeError`, `ValueError` on others."""
        extractors, embedder, number = fields["extractors"], fields["embedder"], fields["format"]
        if not isinstance(extractors, list) or not isinstance(number, int):
            raise TypeError("not a recipe")
        return cls(
            extractors=tuple(str(one) for one in extractors),
            chunker=str(fields["chunker"]),
            words=str(fields["words"]),
            embedder=Digest(str(embedder)) if embedder else None,
            format=number,
        )


def present_recipe(embedder: Digest | None) -> Recipe:
    """The recipe of this version of cape with an embedder; the documents bring their extractors."""
    from cape.knowledge.chunking import CHUNKER_VERSION, LIMIT, LONGEST_SENTENCE
    from cape.knowledge.index.words import ANALYSER_VERSION

    return Recipe(
        extractors=(),
        chunker=f"structure {CHUNKER_VERSION}, {LIMIT} pieces, sentences to {LONGEST_SENTENCE}",
        words=f"english {ANALYSER_VERSION}",
        embedder=embedder,
    )


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the parts that differ, in order."""
    names = [*one, *(name for name in other if name not in one)]
    return tuple(name for name in names if one.get(name) != other.get(name))
