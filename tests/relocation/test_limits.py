"""What will not work of a package, told from the paths of its files."""

from __future__ import annotations

import pytest

from cape.analysis.limits import limits


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("root/usr/lib/systemd/system/nginx.service", "units of systemd (`nginx.service`)"),
        ("root/usr/lib/modules/6.12.1/kernel/net/wg.ko.xz", "kernel modules (`wg.ko.xz`)"),
        ("root/usr/src/zfs-2.3/dkms.conf", "kernel modules to be built"),
        ("root/usr/share/dbus-1/system-services/org.x.Y.service", "D-Bus (`org.x.Y`)"),
        ("root/usr/lib/aarch64-linux-gnu/security/pam_x.so", "modules of PAM"),
        ("root/usr/bin/dpkg", "package manager"),
    ],
)
def test_a_package_is_told_of_by_its_files(path: str, said: str) -> None:
    (sentence,) = limits("tool", [path, "root/usr/bin/tool"])
    assert sentence.startswith("`tool` ")
    assert said in sentence


def test_many_files_are_counted() -> None:
    paths = [f"root/usr/lib/systemd/system/{name}.timer" for name in "edcba"]
    assert "(`a.timer`, `b.timer`, `c.timer`, 2 more)" in limits("tool", paths)[0]


def test_plain_programs_have_no_limits() -> None:
    assert limits("tool", ["root/usr/bin/tool", "root/usr/lib/systemd/user/tool.service"]) == ()
