"""`cape sbom`, `licences` and `audit` on a project with packages of three sources."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.end_to_end.harness import NO, USAGE, Project, World


@pytest.fixture
def project(world: World) -> Project:
    world.archive.add(
        "hello",
        version="2.1-3+b1",
        architecture="all",
        files={
            "usr/share/hello/words": b"hi\n",
            "usr/share/doc/hello/copyright": b"Format: copyright-format/1.0/\n\nFiles: *\nLicense: GPL-3+\n",
        },
    )
    world.publish()
    made = world.project(hello="*")
    made.cape("sync").succeeded()
    return made


def advisory(directory: Path, name: str, **more: object) -> Path:
    directory.mkdir(exist_ok=True)
    told = {
        "id": name,
        "aliases": ["CVE-2099-0001"],
        "summary": "hello says too much",
        "affected": [
            {
                "package": {"ecosystem": "Debian:13", "name": "hello"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1-4"}]}],
                "ecosystem_specific": {"urgency": "high"},
            }
        ],
    }
    (directory / f"{name}.json").write_text(json.dumps({**told, **more}))
    return directory


def test_bill_of_materials_is_the_same_bytes_twice_and_has_licences_and_needs(project: Project) -> None:
    first = project.cape("sbom").succeeded().stdout
    assert project.cape("sbom").succeeded().stdout == first
    bill = json.loads(first)
    hello = next(one for one in bill["components"] if one["name"] == "hello")
    assert bill["bomFormat"] == "CycloneDX"
    assert hello["purl"] == "pkg:deb/debian/hello@2.1-3%2Bb1?arch=all&distro=trixie"
    assert hello["licenses"] == [{"license": {"name": "GPL-3+"}}]
    assert hello["hashes"][0]["alg"] == "SHA-256"
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert needs["project"] == [hello["bom-ref"]]
    project.cape("sbom", "--output", "bom.json").succeeded()
    assert (project.directory / "bom.json").read_text() == first


def test_licences_are_listed_and_a_package_without_one_is_said(project: Project) -> None:
    rows = json.loads(project.cape("licences", "--json").succeeded().stdout)["packages"]
    assert {row["name"]: row["licence"] for row in rows}["hello"] == "GPL-3+"


def test_hole_is_told_with_its_fix_and_the_manifests_line_and_fails(project: Project, tmp_path: Path) -> None:
    place = advisory(tmp_path / "records", "DSA-1")
    done = project.cape("audit", str(place))
    assert done.code == NO
    assert "high  hello 2.1-3  DSA-1 (CVE-2099-0001)" in done.stdout
    assert "fixed in 2.1-4" in done.stdout
    assert "brought by hello, at " in done.stdout and "cape.toml:" in done.stdout
    found = json.loads(project.cape("audit", str(place), "--json").stdout)
    assert [(one["id"], one["severity"], one["fixed"]) for one in found["holes"]] == [
        ("DSA-1", "high", "2.1-4")
    ]
    assert found["failing"] == 1


def test_bar_decides_what_fails(project: Project, tmp_path: Path) -> None:
    place = str(advisory(tmp_path / "records", "DSA-1"))
    assert project.cape("audit", place, "--fail", "high").code == NO
    assert project.cape("audit", place, "--fail", "critical").code == 0
    assert project.cape("audit", place, "--fail", "never").code == 0
    project.cape("audit", place, "--fail", "hgih").failed(USAGE, "did you mean `high`?")


def test_records_may_lie_in_a_zip_and_in_the_settings_and_broken_ones_are_named(
    project: Project, tmp_path: Path
) -> None:
    place = advisory(tmp_path / "records", "DSA-2", withdrawn="2099-01-01T00:00:00Z")
    advisory(place, "DSA-1")
    (place / "broken.json").write_text("{")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in place.iterdir():
            opened.write(file, file.name)
    done = project.cape("audit", CAPE_ADVISORIES=str(archive))
    assert done.code == NO and "1 known hole" in done.stderr
    assert "note: not read: " in done.stderr and "broken.json" in done.stderr


@pytest.mark.parametrize("place", ["gone", "empty"])
def test_no_records_is_an_error_and_not_a_clean_bill(place: str, project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    project.cape("audit", str(tmp_path / place)).failed(NO, "error")


def test_audit_without_a_place_says_how_to_name_one(project: Project) -> None:
    project.cape("audit").failed(USAGE, "cape config advisories")
