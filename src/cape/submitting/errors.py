"""What can go wrong between a command here and a cluster there."""

from __future__ import annotations

from cape.errors import InputError, SourceError, StateError


class UnknownCluster(InputError):
    """A text that names no kind of cluster."""

    slug = "unknown-cluster"


class TooLarge(InputError):
    """The files that would be sent are more than the limit."""

    slug = "too-much-to-send"


class ClusterUnreachable(SourceError):
    """Nothing answers where the cluster should be."""

    slug = "cluster-unreachable"


class OtherVersions(StateError):
    """The cluster has another Ray, or another Python, than the client."""

    slug = "cluster-versions-differ"


class NoRoom(StateError):
    """No machine of the cluster has what one task asks for."""

    slug = "no-room-in-cluster"


class ClusterFailed(SourceError):
    """The cluster was there, and went away or failed while it ran."""

    slug = "cluster-failed"
