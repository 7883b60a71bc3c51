"""An image is run by podman, which cape brings itself: the whole way from a manifest to a container.

`make acceptance` runs this: it takes a minute. What podman needs beside the environment is in
`docs/guides/packing.md`. It takes root, for mounts in a namespace of its own.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CAPE = Path(sys.prefix) / "bin" / "cape"
pytestmark = [pytest.mark.network, pytest.mark.slow]

PODMAN = """
schema = 1
[environment]
name = "podman"
systems = ["x86_64-linux"]
debian = "trixie"
[packages]
podman = "*"
crun = "*"
"""
APP = """
schema = 1
[environment]
name = "app"
systems = ["x86_64-linux"]
debian = "trixie"
[packages]
jq = "*"
dash = "*"
coreutils = "*"
[vars]
MODE = "of the manifest"
"""

ENGINE = """
[engine]
conmon_path = ["{root}/usr/bin/conmon"]
helper_binaries_dir = ["{root}/usr/bin", "{root}/usr/lib/podman"]
[engine.runtimes]
crun = ["{root}/usr/bin/crun"]
"""
ALONE = """
mount --bind "$E" "$E" && mount -o remount,ro,bind "$E" || exit 77
umount -R /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup || exit 77
exec "$@"
"""


def cape(directory: Path, *words: str, **variables: str) -> str:
    done = subprocess.run(
        [CAPE, *words],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_podman_runs_an_image(tmp_path: Path) -> None:
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("podman needs to mount here, and this user may not")
    for name, text in (("podman", PODMAN), ("app", APP)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cape.toml").write_text(text)
        cape(tmp_path / name, "sync", CAPE_STORE=str(tmp_path / "store"))
    store = {"CAPE_STORE": str(tmp_path / "store")}
    command = 'echo "$MODE"; id -u; jq --version; touch /tmp/x "$CAPE_STATE/y"'
    made = json.loads(
        cape(tmp_path / "app", "image", "-o", "app.oci", "--json", "--", "sh", "-c", command, **store)
    )
    root = cape(tmp_path / "podman", "run", "--", "sh", "-c", "echo $CAPE_ENV", **store).strip()
    (tmp_path / "engine").write_text(ENGINE.format(root=f"{root}/root"))
    (tmp_path / "policy").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    places = [f"--{name}={tmp_path}/podman-{name}" for name in ("root", "runroot", "tmpdir")]
    settings = [*places, "--storage-driver=vfs", "--events-backend=none", "--cgroup-manager=cgroupfs"]
    settings += ["--runtime=crun", f"--runtime-flag=root={tmp_path}/crun"]

    def podman(*words: str) -> str:
        inside = [str(CAPE), "-C", str(tmp_path / "podman"), "run", "--", "podman", *settings, *words]
        variables = {**os.environ, **store, "CONTAINERS_CONF": str(tmp_path / "engine"), "E": root}
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", ALONE, "sh", *inside],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode == 77:
            pytest.skip(f"this machine allows no mounts: {done.stderr}")
        assert done.returncode == 0, f"{shlex.join(inside)}: {done.stderr}"
        return done.stdout

    image = podman("pull", "-q", f"--signature-policy={tmp_path}/policy", f"oci:{tmp_path}/app/app.oci")
    told = json.loads(podman("image", "inspect", image.strip()))[0]
    assert told["Digest"] == made["digest"], "podman calls it what cape does"
    run = ["run", "--rm", "--network=none", "--cgroups=disabled"]
    said = podman(*run, image.strip()).splitlines()
    assert said[0] == "of the manifest" and said[1] == "1000" and said[2].startswith("jq-1.")
    given = podman(*run, "--env=MODE=given", image.strip()).splitlines()
    assert given[0] == "given"
