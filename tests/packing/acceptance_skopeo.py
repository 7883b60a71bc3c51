"""An image is read, unpacked and pushed by tools that are not of cape: skopeo, umoci, and a registry.

`make acceptance` runs this: it takes a minute. All of them are Debian's, and cape brings them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.packing.acceptance_podman import APP, CAPE, cape

pytestmark = [pytest.mark.network, pytest.mark.slow]

TOOLS = """
schema = 1
[environment]
name = "tools"
systems = ["x86_64-linux"]
debian = "trixie"
[packages]
skopeo = "*"
umoci = "*"
docker-registry = "*"
"""
REGISTRY = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {place}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def registry(directory: Path, store: Path) -> Iterator[str]:
    """A registry of images on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = directory / "registry.yml"
    settings.write_text(REGISTRY.format(place=directory / "registry", port=port))
    process = subprocess.Popen(
        [CAPE, "run", "--", "docker-registry", "serve", settings],
        cwd=directory,
        env={**os.environ, "CAPE_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < deadline, "the registry did not start"
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_other_tools_read_unpack_and_push_an_image(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name, text in (("tools", TOOLS), ("app", APP)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cape.toml").write_text(text)
        cape(tmp_path / name, "sync", CAPE_STORE=str(store))
    words = ("image", "-o", "../tools/app.oci", "--json", "--", "jq", "--version")
    made = json.loads(cape(tmp_path / "app", *words, CAPE_STORE=str(store)))

    def tool(*words: str) -> str:
        return cape(tmp_path / "tools", "run", "--", *words, CAPE_STORE=str(store))

    told = json.loads(tool("skopeo", "inspect", "oci:app.oci"))
    assert told["Digest"] == made["digest"] and told["Architecture"] in ("amd64", "arm64")
    assert told["Layers"] == [layer["digest"] for layer in made["layers"]]
    tool("umoci", "unpack", "--rootless", "--image", "app.oci:latest", "bundle")
    bundle = tmp_path / "tools" / "bundle"
    started = json.loads((bundle / "config.json").read_text())["process"]["args"]
    assert started == ["/cape/enter", "--cape-run", "jq", "--version"]
    assert (bundle / "rootfs/cape/enter").is_file()
    with registry(tmp_path / "tools", store) as host:
        copy = ("skopeo", "copy", "--insecure-policy")
        tool(*copy, "--dest-tls-verify=false", "oci:app.oci", f"docker://{host}/team/app:1")
        tool(*copy, "--src-tls-verify=false", f"docker://{host}/team/app:1", "oci:back.oci:latest")
    index = json.loads((tmp_path / "tools/back.oci/index.json").read_text())
    assert [one["digest"] for one in index["manifests"]] == [made["digest"]], "a registry keeps its digest"
