"""What will not work of a package, and which packages are refused, told from their files.

The packages below are real ones of trixie, as their own lists of files have them, without documentation.
"""

from __future__ import annotations

import pytest

from cape.analysis.contents import PackageContents, PackageFile
from cape.analysis.limits import is_leader, limits, refusal

SETUID, SETGID = 0o104755, 0o102755


def package(*files: str | PackageFile, **control: str) -> PackageContents:
    """A package of programs and other files; a path that ends with a slash is a directory."""
    return PackageContents(files=tuple(_file(one) for one in files), scripts={}, control=control)


def _file(one: str | PackageFile) -> PackageFile:
    if isinstance(one, PackageFile):
        return one
    if one.endswith("/"):
        return PackageFile(path=f"root/{one[:-1]}", kind="d", mode=0o755)
    return PackageFile(path=f"root/{one}", mode=0o755 if "/bin/" in one or "/sbin/" in one else 0o644)


def with_bit(path: str, mode: int = SETUID) -> PackageFile:
    return PackageFile(path=f"root/{path}", mode=mode & 0o7777)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("usr/lib/systemd/system/nginx.service", "units of systemd (`nginx.service`)"),
        ("usr/lib/modules/6.12.1/kernel/net/wg.ko.xz", "kernel modules (`wg.ko.xz`)"),
        ("usr/src/zfs-2.3/dkms.conf", "kernel modules to be built"),
        ("usr/share/dbus-1/system-services/org.x.Y.service", "D-Bus (`org.x.Y`)"),
        ("usr/lib/aarch64-linux-gnu/security/pam_x.so", "modules of PAM"),
        ("etc/kernel/postinst.d/dkms", "hooks of the machine's kernel"),
        ("etc/cron.daily/man-db", "jobs for cron (`man-db`)"),
    ],
)
def test_a_package_with_programs_is_told_of_by_its_other_files(path: str, said: str) -> None:
    contents = package(path, "usr/bin/tool")
    (sentence,) = limits("tool", contents)
    assert sentence.startswith("`tool` ")
    assert said in sentence
    assert refusal("tool", contents) is None


def test_many_files_are_counted() -> None:
    units = package(*(f"usr/lib/systemd/system/{name}.timer" for name in "edcba"))
    assert "(`a.timer`, `b.timer`, `c.timer`, 2 more)" in limits("tool", units)[0]


def test_plain_programs_have_no_limits() -> None:
    plain = package("usr/bin/tool", "usr/lib/systemd/user/tool.service")
    assert limits("tool", plain) == ()
    assert refusal("tool", plain) is None


REFUSED = {
    "sudo": (
        package("usr/bin/cvtsudoers", with_bit("usr/bin/sudo"), "usr/sbin/visudo", "var/lib/sudo/"),
        "rights of root for `sudo`",
    ),
    "opendoas": (package(with_bit("usr/bin/doas"), "etc/pam.d/doas"), "rights of root for `doas`"),
    "passwd": (
        package(with_bit("usr/bin/passwd"), with_bit("usr/bin/chage", SETGID), "usr/sbin/useradd"),
        "rights of root for `passwd`",
    ),
    "dpkg": (package("usr/bin/dpkg-deb", "var/lib/dpkg/", "var/lib/dpkg/info/"), "package manager"),
    "apt": (package("usr/bin/apt-get", "var/lib/apt/lists/", "var/cache/apt/archives/"), "package manager"),
    "aptitude": (package("usr/bin/aptitude-curses", "var/lib/aptitude/"), "package manager"),
    "snapd": (package("usr/bin/snap", "var/lib/snapd/"), "package manager"),
    "flatpak": (package("usr/bin/flatpak", "usr/libexec/flatpak-system-helper"), "package manager"),
    "packagekit": (package("usr/libexec/packagekitd", "var/lib/PackageKit/"), "package manager"),
    "systemd": (package("usr/bin/systemctl", "usr/lib/systemd/systemd"), "init system"),
    "systemd-sysv": (package("usr/sbin/init", "usr/sbin/reboot"), "init system"),
    "sysvinit-core": (package("usr/sbin/init", "usr/sbin/telinit"), "init system"),
    "openrc": (package("usr/sbin/openrc-init", "usr/bin/rc-status"), "init system"),
    "linux-image-6.12-amd64": (
        package("boot/vmlinuz-6.12-amd64", "usr/lib/modules/6.12-amd64/kernel/fs/btrfs.ko.xz"),
        "nothing but kernel modules",
    ),
    "v4l2loopback-dkms": (
        package("usr/src/v4l2loopback-0.15.0/dkms.conf", "usr/src/v4l2loopback-0.15.0/v4l2loopback.c"),
        "nothing but kernel modules",
    ),
    "systemd-timesyncd": (
        package(
            "usr/lib/systemd/system/systemd-timesyncd.service",
            "usr/lib/systemd/systemd-timesyncd",
            "usr/share/dbus-1/system-services/org.freedesktop.timesync1.service",
            "usr/lib/sysusers.d/systemd-timesync.conf",
            "etc/systemd/timesyncd.conf",
        ),
        "units of systemd and services of the system's D-Bus",
    ),
    "accountsservice": (
        package(
            "usr/libexec/accounts-daemon",
            "usr/lib/systemd/system/accounts-daemon.service",
            "usr/share/dbus-1/system-services/org.freedesktop.Accounts.service",
            "usr/share/polkit-1/actions/org.freedesktop.accounts.policy",
        ),
        "units of systemd and services",
    ),
    "libpam-pwquality": (
        package("usr/lib/x86_64-linux-gnu/security/pam_pwquality.so", "usr/share/pam-configs/pwquality"),
        "modules of PAM",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_cannot_work_is_refused_by_its_files(name: str) -> None:
    contents, said = REFUSED[name]
    found = refusal(name, contents)
    assert found is not None
    assert found.sentence.startswith(f"`{name}` ")
    assert said in found.sentence


WORKING = {
    "util-linux": package("usr/bin/lsblk", with_bit("usr/bin/su"), "usr/lib/systemd/system/fstrim.service"),
    "fuse3": package("usr/bin/fusermount3", "usr/sbin/mount.fuse3", postinst="chmod 4755 /bin/fusermount3"),
    "cron": package(
        "usr/bin/crontab",
        "usr/sbin/cron",
        postinst="dpkg-statoverride --add root crontab 2755 /usr/bin/crontab",
    ),
    "runit": package("usr/bin/runsv", "usr/sbin/runit-init"),
    "redis-server": package("usr/bin/redis-server", "usr/lib/systemd/system/redis-server.service"),
    "nginx-common": package("usr/lib/systemd/system/nginx.service", "usr/share/nginx/html/index.html"),
    "libnss-mdns": package("usr/lib/x86_64-linux-gnu/libnss_mdns4.so.2"),
    "dpkg-dev": package("usr/bin/dpkg-buildpackage", "usr/share/perl5/Dpkg/Vendor.pm"),
    "polkitd": package("usr/bin/pkcheck", "usr/share/dbus-1/system-services/org.x.PolicyKit1.service"),
    "tzdata": package("usr/share/zoneinfo/Europe/Paris", "etc/default/tz"),
}


@pytest.mark.parametrize("name", WORKING)
def test_what_works_in_part_is_not_refused(name: str) -> None:
    assert refusal(name, WORKING[name]) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("util-linux", "rights of root (`su`)"),
        ("fuse3", "(`fusermount3`)"),
        ("cron", "rights of a group (`crontab`)"),
    ],
)
def test_bits_of_the_deb_and_of_its_maintainer_script_are_told(name: str, said: str) -> None:
    assert any(said in sentence for sentence in limits(name, WORKING[name]))


def test_a_capability_that_a_maintainer_script_gives_is_told() -> None:
    script = "if ! setcap cap_net_raw+ep /usr/bin/mtr-packet; then"
    (sentence,) = limits("mtr-tiny", package("usr/bin/mtr-packet", postinst=script))
    assert "`setcap` (`mtr-packet`)" in sentence


def test_only_what_the_machine_reads_may_lie_in_a_package_brought_along() -> None:
    """`dbus` holds a unit, and its programs are in `dbus-bin` and `dbus-daemon`: not final."""
    found = refusal("dbus", package("usr/lib/systemd/system/dbus.service", "var/lib/dbus/"))
    assert found is not None
    assert not found.is_final


def test_a_large_package_is_judged_by_the_paths_of_its_files() -> None:
    head = PackageContents.of_paths(["root/usr/bin/snap", "root/usr/lib/snapd/snapd"])
    found = refusal("snapd", head)
    assert found is not None
    assert "package manager" in found.sentence


def test_a_package_with_documentation_only_leads_to_others() -> None:
    assert is_leader(package("usr/share/doc/init/copyright"))
    assert not is_leader(package("usr/share/doc/x/copyright", "usr/bin/x"))


def test_contents_survive_being_kept() -> None:
    contents = package(with_bit("usr/bin/su"), "var/lib/", postinst="true")
    assert PackageContents.from_json(contents.to_json()) == contents
    assert PackageContents.from_json({**contents.to_json(), "version": 0}) is None
