"""What can be wrong with a file of weights."""

from __future__ import annotations

from cape.errors import InputError


class BadModelFile(InputError):
    """A file of weights is not what its format says that it should be."""

    slug = "bad-model-file"


class WeightsOutside(BadModelFile):
    """A file of weights says that some of them lie outside of its directory."""

    slug = "weights-outside"


class HeaderEndsEarly(BadModelFile):
    """The bytes end before the header does: more of the file is needed, or it is cut off."""

    slug = "model-header-ends-early"
