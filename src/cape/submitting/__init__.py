"""Commands that run on other machines: what is sent there, and what comes back.

Owns the directory of files that goes along, the job as the driver reads it, the driver itself (which runs in
an environment that has Ray, and imports nothing of cape), its events, and the results on disk. How an
environment is packed, and where one that has Ray comes from, never belong here.
"""

from __future__ import annotations

from cape.submitting.errors import (
    ClusterFailed,
    ClusterUnreachable,
    NoRoom,
    OtherVersions,
    TooLarge,
    UnknownCluster,
)
from cape.submitting.job import Address, Finished, Job, Submission, parse_address
from cape.submitting.running import Events, run_job
from cape.submitting.sending import Sent, files_to_send, write_files

__all__ = [
    "Address",
    "ClusterFailed",
    "ClusterUnreachable",
    "Events",
    "Finished",
    "Job",
    "NoRoom",
    "OtherVersions",
    "Sent",
    "Submission",
    "TooLarge",
    "UnknownCluster",
    "files_to_send",
    "parse_address",
    "run_job",
    "write_files",
]
