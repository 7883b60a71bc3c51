"""What texts would cost a writer, in tokens. Owns the estimate that is used where no tokenizer is at hand."""

from __future__ import annotations

import re

_PIECES = re.compile(r"[^\W_]+|[^\w\s]|_", re.UNICODE)
LETTERS_PER_TOKEN = 6
ESTIMATE = "one token per mark and per started six letters of a word"


def estimated_tokens(text: str) -> int:
    """About how many tokens a writer's tokenizer makes of a text.

    Each word counts one token per started six letters, each mark one: within some 15 % of what common
    byte-pair tokenizers give for English prose.
    """
    return sum(
        1 if not piece[0].isalnum() else -(-len(piece) // LETTERS_PER_TOKEN)
        for piece in _PIECES.findall(text)
    )
