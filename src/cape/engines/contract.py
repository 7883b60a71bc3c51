"""The test suites that engines inherit, real or fake: what `knowledge`'s Protocols promise.

    class TestMiniLM(EmbedderContract):
        @pytest.fixture
        def embedder(self): ...

Shipped with the package, so that an engine that is written elsewhere can be held to them. They need
pytest only through the subclass. Laws of one model do not belong here.
"""

from __future__ import annotations

from cape.knowledge.protocol import Embedder

_TEXTS = (
    "The ferry to the island leaves at nine.",
    "",
    "Boats to the isle depart in the morning.",
    "Quarterly revenue rose by four per cent.",
    "Zürich 東京 \U0001f6a2 \udc80 e\u0301",
    "word " * 3000,
)


class EmbedderContract:
    """What `Embedder` promises. A subclass gives the fixture `embedder`, of any trained model."""

    def test_embedder_gives_a_normalised_row_of_its_dimensions_per_text(self, embedder: Embedder) -> None:
        import numpy as np

        vectors = embedder.embed(_TEXTS)
        assert vectors.shape == (len(_TEXTS), embedder.dimensions)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    def test_embedder_gives_no_rows_for_no_texts(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dimensions)

    def test_embedder_gives_a_text_the_same_bits_alone_and_in_any_batch(self, embedder: Embedder) -> None:
        together = embedder.embed(_TEXTS)
        backwards = embedder.embed(_TEXTS[::-1])[::-1]
        alone = [embedder.embed([text])[0] for text in _TEXTS]
        assert together.tobytes() == backwards.tobytes()
        assert together.tobytes() == b"".join(vector.tobytes() for vector in alone)

    def test_embedder_places_texts_of_one_meaning_nearer_than_others(self, embedder: Embedder) -> None:
        ferry, _, boats, revenue, _, _ = embedder.embed(_TEXTS)
        assert float(ferry @ boats) > float(ferry @ revenue)

    def test_embedder_has_a_name_and_a_digest_that_stays(self, embedder: Embedder) -> None:
        assert embedder.name
        assert embedder.digest == embedder.digest
