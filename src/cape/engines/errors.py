"""What can be wrong with an engine or the files that it is opened with."""

from __future__ import annotations

from cape.errors import InputError, IntegrityError, StateError


class MissingEngine(StateError):
    """The Python package that runs a model is not installed."""

    slug = "missing-engine"


class MissingModelFile(InputError):
    """A model's file does not exist or cannot be read."""

    slug = "missing-model-file"


class DamagedModel(IntegrityError):
    """A model's file is not what its engine can read: damaged, cut short, or of another kind."""

    slug = "damaged-model"


class UnfitModel(InputError):
    """A model reads or gives something else than its use here needs."""

    slug = "unfit-model"
