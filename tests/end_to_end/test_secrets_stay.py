"""No secret of whoever packs, pushes or writes a manifest for Kubernetes gets into what comes of it."""

from __future__ import annotations

import base64
import gzip
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cape.names import System
from tests.end_to_end.harness import Done, Project, World
from tests.end_to_end.test_sharing import user, with_key
from tests.sharing.smart_git import git_server

OF_FILE, OF_SECRET, OF_PLACE, OF_INDEX, OF_NPM = (
    f"planted-{what}-Zq7Wk" for what in ("file", "secret", "place", "index", "npm")
)
PLANTED = (OF_FILE, OF_SECRET, OF_PLACE, OF_INDEX, OF_NPM)


@pytest.fixture
def planted(stocked: World) -> Project:
    """Anna's synced project, with secrets wherever cape knows places for them."""
    stocked.archive.add("python3", "3.13.5-1", architecture="all", depends="libc6")
    for name in ("libc6", "libstdc++6"):
        stocked.archive.add(name, "2.41-12", architecture="all")
    stocked.publish()
    stocked.index.add_wheel("wheel", "1.0")
    project = stocked.project(hello="*", wheel='{ pypi = "*" }')
    text = project.manifest.read_text().replace("[packages]", 'env-files = [".env"]\n\n[packages]')
    text += '\n[vars]\nMODE = "plain"\nURL = "http://localhost/?t=$TOKEN"\n'
    text += '[secrets]\nAPI_KEY = { command = "cat $HOME/secret" }\n'
    text += '[services.web]\ncommand = "exec hello"\nports = { http = 0 }\nvars = { AUTH = "x $API_KEY" }\n'
    project.manifest.write_text(text)
    (project.directory / ".env").write_text(f"TOKEN={OF_FILE}\nMODE=of-the-file\n")
    home = Path(project.environment["HOME"])
    (home / "secret").write_text(OF_SECRET)
    (home / ".npmrc").write_text(f"//127.0.0.1/:_authToken={OF_NPM}\n")
    index = project.environment["CAPE_PYPI_INDEX"].replace("://", f"://anna:{OF_INDEX}@")
    anna = user(project, stocked, "anna").with_variables(CAPE_PYPI_INDEX=index)
    anna.cape("sync").succeeded()
    with_key(anna, "anna")
    said = anna.cape("run", "--", "sh", "-c", "echo $TOKEN $API_KEY").succeeded().stdout
    assert said == f"{OF_FILE} {OF_SECRET}\n", "they are there, inside, on this machine"
    return anna


def check_absent(what: str, data: bytes) -> None:
    for secret in PLANTED:
        for form in (secret.encode(), base64.b64encode(secret.encode())):
            assert form not in data, f"`{secret}` is in {what}"


def check_files(directory: Path) -> int:
    files = [file for file in directory.rglob("*") if file.is_file() and not file.is_symlink()]
    for file in files:
        data = file.read_bytes()
        check_absent(str(file), data)
        if data[:2] == b"\x1f\x8b":
            check_absent(f"{file}, unpacked", gzip.decompress(data))
    return len(files)


def check_said(*done: Done) -> None:
    for one in done:
        check_absent(f"what `cape {one.words[0]}` said", (one.stdout + one.stderr).encode())


def needs_extractor() -> None:
    here = Path(__file__).parents[2] / f"src/cape/packing/lib/{System.current()}/cape-enter"
    if not here.exists():
        pytest.skip("no extractor was built for this machine")


def test_a_pack_and_an_image_hold_no_secret_and_name_what_they_lack(planted: Project, tmp_path: Path) -> None:
    needs_extractor()
    pack = planted.cape("pack", "-o", "it", "--", "sh", "-c", "echo $MODE $URL").succeeded()
    layout = planted.cape("image", "-o", "image").succeeded()
    archive = planted.cape("image", "-o", "image.tar", "--json").succeeded()
    check_said(pack, layout, archive)
    for done in (pack, layout):
        assert "not carried, to be set where it runs: `API_KEY`, `TOKEN`" in done.stderr
    check_absent("the pack", (planted.directory / "it").read_bytes())
    out = tmp_path / "out"
    subprocess.run(
        [planted.directory / "it", "--cape-extract", out], check=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert check_files(out) > 5
    assert check_files(planted.directory / "image") > 5
    with tarfile.open(planted.directory / "image.tar") as opened:
        opened.extractall(tmp_path / "image", filter="data")
    assert check_files(tmp_path / "image") > 5
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TOKEN": "given"}
    said = subprocess.run(
        [planted.directory / "it"], env=variables, capture_output=True, text=True, check=True
    )
    assert said.stdout == "plain http://localhost/?t=given\n", "what is given there counts"


def test_a_kubernetes_manifest_refers_to_secrets_by_name(planted: Project) -> None:
    done = planted.cape("k8s", "registry.example/app:1").succeeded()
    check_said(done)
    assert "the Secret `test` must have the keys `API_KEY`, `TOKEN`" in done.stderr
    config, web, _ = yaml.safe_load_all(done.stdout)
    assert config["data"] == {"MODE": "plain"}
    (container,) = web["spec"]["template"]["spec"]["containers"]
    names = {one["name"] for one in container["env"] if "valueFrom" in one}
    assert names == {"API_KEY", "TOKEN"}
    assert container["args"][-1] == 'export AUTH="x ${API_KEY}"\nexec hello'


def test_a_place_holds_no_secret(planted: Project, tmp_path: Path) -> None:
    place = tmp_path / "place"
    done = planted.cape("push", str(place), "--with-artifacts").succeeded()
    done_too = planted.cape("promote", "1", "staging", "--place", str(place)).succeeded()
    check_said(done, done_too, planted.cape("log", str(place), "--json"))
    assert check_files(place) > 5


def git_objects(bare: Path) -> Iterator[bytes]:
    listed = ["git", "-C", str(bare), "cat-file", "--batch-all-objects", "--batch"]
    yield subprocess.run(listed, check=True, capture_output=True).stdout


def test_a_login_in_the_address_of_a_place_stays_out_of_it(planted: Project, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "p.git"], check=True)
    subprocess.run(["git", "-C", tmp_path / "p.git", "config", "http.receivepack", "true"], check=True)
    with git_server(tmp_path, user="anna", password=OF_PLACE) as url:
        login = url.replace("://", f"://anna:{OF_PLACE}@")
        done = planted.cape("push", f"git+{login}/p.git#shared", "--with-artifacts").succeeded()
        told = planted.cape("log", f"git+{login}/p.git#shared", "--json").succeeded()
        pulled = planted.cape("pull", f"git+{login}/p.git#shared").succeeded()
        history = planted.cape("history", "--json").succeeded()
        instances = planted.cape("instances", "--place", f"git+{login}/p.git#shared", "--json").succeeded()
        wrong = login.replace(OF_PLACE, f"{OF_PLACE}x")
        refused = planted.cape("push", f"git+{wrong}/p.git").failed(4)
    check_said(done, told, pulled, history, instances, refused)
    assert '"command": "cape push \'git+http://127.0.0.1' in told.stdout
    for objects in git_objects(tmp_path / "p.git"):
        assert b"cape push 'git+http://127.0.0.1" in objects
        check_absent("the git place", objects)
    check_absent("place.json", (planted.directory / ".cape/place.json").read_bytes())
