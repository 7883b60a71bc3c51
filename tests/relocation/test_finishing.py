"""What maintainer scripts would have done: calls read out of them, and the files that follow."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.environment.finishing import ControlFiles, finish, read_control
from cape.environment.finishing.alternatives import Alternative, choose, parse_call
from cape.environment.finishing.caches import Cache, make_caches
from cape.environment.finishing.certificates import java_key_store, subject_hash
from cape.environment.finishing.libraries import link_configured_libraries
from cape.environment.finishing.place import EscapingPath, put_file, put_link
from cape.environment.finishing.shell import calls_in
from cape.names import System

COMMANDS = frozenset({"update-alternatives", "ucf"})
SYSTEM = System.X86_64_LINUX


def calls(script: str, **variables: str) -> list[str]:
    found = calls_in(script, COMMANDS, {"1": "configure", **variables}, lambda pattern: [])
    return [" ".join(call) for call in found]


def root_with(tmp_path: Path, *files: str) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for file in files:
        put_file(root, file, file.encode())
    return root


def install(link: str, name: str, path: str, priority: int, *slaves: str) -> str:
    tail = "".join(f" \\\n  --slave {slave}" for slave in slaves)
    return f"update-alternatives --install {link} {name} {path} {priority}{tail}\n"


def test_walker_reads_continued_lines_and_comments_between() -> None:
    script = "update-alternatives --quiet \\\n  --install a b c 1 # why\n# update-alternatives no\n"
    assert calls(script) == ["update-alternatives --quiet --install a b c 1"]


def test_walker_follows_loops_and_variables() -> None:
    script = """
set -e
base=/usr/lib/jvm
tools='java keytool'
case "$1" in
configure)
    for i in $tools; do
        unset slave || true
        if [ -e $base/$i.1 ]; then slave="--slave l-$i \\
            n-$i t"; fi
        update-alternatives --install /usr/bin/$i "$i" ${base}/bin/$i 20 $slave
    done ;;
esac
"""
    assert calls(script) == [
        "update-alternatives --install /usr/bin/java java /usr/lib/jvm/bin/java 20 --slave l-java n-java t",
        "update-alternatives --install /usr/bin/keytool keytool /usr/lib/jvm/bin/keytool 20"
        " --slave l-keytool n-keytool t",
    ]


def test_walker_follows_functions_with_arguments() -> None:
    script = (
        'add() {\n  local n=$1\n  update-alternatives --install "/b/$n" "$n" "$2" 5\n}\nadd awk /b/mawk\n'
    )
    assert calls(script) == ["update-alternatives --install /b/awk awk /b/mawk 5"]


def test_walker_takes_every_branch() -> None:
    script = "if false; then ucf a b; elif true; then ucf c d; else ucf e f; fi && ucf g h || ucf i j"
    assert calls(script) == ["ucf a b", "ucf c d", "ucf e f", "ucf g h", "ucf i j"]


def test_walker_drops_calls_that_need_a_program_and_keeps_known_values() -> None:
    script = (
        "p=10\np=$(expr $p - 1)\nucf $p x\nucf `date` y\nucf $(dpkg-architecture -qDEB_HOST_MULTIARCH) z\n"
    )
    assert calls(script, DEB_HOST_MULTIARCH="t") == ["ucf 10 x", "ucf t z"]


def test_walker_expands_parameters() -> None:
    script = "f=/a/b.tar.gz; ucf ${f##*/} ${f%.gz} ${f%%.*} ${g:-d} ${f:+y} '${f}' \"$f \\$\" ${f#/a}\n"
    assert calls(script) == ["ucf b.tar.gz /a/b.tar /a/b d y ${f} /a/b.tar.gz $ /b.tar.gz"]


def test_walker_passes_over_redirections_and_here_documents() -> None:
    script = "ucf a b > /dev/null 2>&1\ncat <<EOF >x\nucf no no\nEOF\nucf c d\n"
    assert calls(script) == ["ucf a b", "ucf c d"]


def test_walker_takes_a_temporary_file_for_what_was_copied_into_it() -> None:
    script = (
        't=$(mktemp) && cat /a/b > "$t"; sed -i s/x/y/ $t; ucf $t /etc/b\n'
        "u=`mktemp -t x.XXX`; sed 's/a/b/' /a/c >$u; ucf \"$u\" /etc/c; cp $u /etc/x; ucf `mktemp` /etc/d"
    )
    assert calls(script) == ["ucf /a/b /etc/b", "ucf /a/c /etc/c", "ucf /@temporary@/3 /etc/d"]


def test_catalogs_of_xml_delegate_to_what_is_there(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/share/xml/d/catalog.xml")
    call = "update-xmlcatalog --sort --add --type public --id '-//A&B//DTD D' --package d"
    script = f"{call} --local /usr/share/xml/d/catalog.xml\n{call} --local /gone.xml\n{call} --root\n"
    finish(root, {"d": ControlFiles(postinst=script)}, order=(), system=SYSTEM)
    own = '<delegatePublic publicIdStartString="-//A&amp;B//DTD D" catalog="file:///usr/share/xml/d/catalog.xml"/>'
    assert (root / "etc/xml/d.xml").read_text().splitlines()[3:] == [own, "</catalog>"]
    assert 'catalog="file:///etc/xml/d.xml"/>' in (root / "etc/xml/catalog").read_text()


def test_tex_gets_the_pieces_that_packages_bring(tmp_path: Path) -> None:
    root = root_with(tmp_path, "etc/texmf/texmf.d/00a.cnf", "etc/texmf/texmf.d/05b.cnf")
    pieces, config = "var/lib/tex-common", "usr/share/texlive/texmf-dist/tex/generic/config"
    put_file(root, f"{pieces}/fmtutil-cnf/texlive/base.cnf", b"tex tex - tex.ini\n")
    hyphens = b"% none\nname=german synonyms=deutsch,de lefthyphenmin=1 file=de.tex file_patterns=de.txt\n"
    put_file(root, f"{pieces}/hyphen-cnf/texlive/german.cnf", hyphens)
    for head in ("language.us", "language.us.def", "language.us.lua"):
        put_file(root, f"{config}/{head}", b"head\n")
    finish(root, {}, order=(), system=SYSTEM)
    made = root / "var/lib/texmf"
    assert (root / "etc/texmf/web2c/texmf.cnf").read_text().split() == [
        "etc/texmf/texmf.d/00a.cnf",
        "etc/texmf/texmf.d/05b.cnf",
    ]
    assert (made / "fmtutil.cnf-TEXLIVEDIST").read_text() == "tex tex - tex.ini\n"
    languages = made / "tex/generic/config"
    assert (languages / "language.dat").read_text() == "head\ngerman de.tex\n=deutsch\n=de\n"
    assert "\\addlanguage{german}{de.tex}{}{1}{3}\n" in (languages / "language.def").read_text()
    assert "patterns = 'de.txt'" in (languages / "language.dat.lua").read_text()
    listed = (made / "ls-R-TEXLIVEDIST").read_text()
    assert "./tex/generic/config:\nlanguage.us\nlanguage.us.def\nlanguage.us.lua\n" in listed


def test_debug_files_are_found_beside_the_libraries(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/lib/debug/.build-id/93/f70d.debug")
    finish(root, {}, order=(), system=SYSTEM)
    link = root / "usr/lib/x86_64-linux-gnu/.debug/f70d.debug"
    assert link.resolve() == root / "usr/lib/debug/.build-id/93/f70d.debug"


def test_walker_expands_patterns_with_the_trees_files() -> None:
    script = 'for f in /etc/x/*.ini; do ucf "$f" y; done; ucf "/etc/x/*" z'
    found = calls_in(script, COMMANDS, {}, lambda pattern: ["/etc/x/1.ini", "/etc/x/2.ini"])
    assert [call[1] for call in found] == ["/etc/x/1.ini", "/etc/x/2.ini", "/etc/x/*"]


@given(st.text(alphabet="ab =$(){}\"'`\\\n;|&<#for do done ucf*%in", max_size=60))
def test_walker_ends_on_any_text(text: str) -> None:
    calls("ucf x y\n" + text)


def test_walker_ends_on_a_function_that_calls_itself() -> None:
    assert calls("f() { ucf a b; f; f; }\nf\n")[0] == "ucf a b"


def test_highest_priority_wins_and_the_users_order_breaks_ties() -> None:
    def candidate(package: str, priority: int) -> Alternative:
        path = f"/usr/bin/{package}"
        return Alternative(package=package, link="/l", name="vi", path=path, priority=priority)

    tied = [candidate("neovim", 30), candidate("vim", 30), candidate("nano", 10)]
    assert choose(tied, ["vim", "neovim"])["vi"].package == "vim"
    assert choose(tied, ["neovim", "vim"])["vi"].package == "neovim"
    assert choose(tied, [])["vi"].package == "neovim"
    assert choose([*tied, candidate("ed", 31)], ["vim"])["vi"].package == "ed"


def test_other_calls_install_nothing() -> None:
    assert parse_call("x", ("update-alternatives", "--remove-all", "awk")) is None
    assert parse_call("x", ("update-alternatives", "--install", "a", "b", "c", "high")) is None
    assert parse_call("x", ("update-alternatives", "--install", "a", "b")) is None


def test_alternatives_become_relative_links_with_the_slaves_that_exist(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/bin/mawk", "usr/bin/gawk", "usr/share/man/man1/gawk.1.gz")
    slaves = (
        "/usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/gawk.1.gz",
        "/usr/bin/nawk nawk /usr/bin/none",
    )
    control = {
        "gawk": ControlFiles(postinst=install("/usr/bin/awk", "awk", "/usr/bin/gawk", 10, *slaves)),
        "mawk": ControlFiles(postinst=install("/usr/bin/awk", "awk", "/usr/bin/mawk", 5)),
        "gone": ControlFiles(postinst=install("/usr/bin/awk", "awk", "/usr/bin/original-awk", 90)),
    }
    finish(root, control, order=["mawk"], system=SYSTEM)
    assert (root / "usr/bin/awk").read_text() == "usr/bin/gawk"
    assert os.readlink(root / "usr/bin/awk") == "../../etc/alternatives/awk"
    assert os.readlink(root / "etc/alternatives/awk") == "../../usr/bin/gawk"
    assert (root / "usr/share/man/man1/awk.1.gz").read_text() == "usr/share/man/man1/gawk.1.gz"
    assert not (root / "usr/bin/nawk").is_symlink()


def test_alternative_of_a_merged_directory_lies_below_usr(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/bin/nano")
    control = {"nano": ControlFiles(postinst=install("/bin/editor", "editor", "/bin/nano", 40))}
    finish(root, control, order=[], system=SYSTEM)
    assert (root / "usr/bin/editor").read_text() == "usr/bin/nano"


def test_alternative_never_replaces_a_shipped_file_or_leaves_the_root(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/bin/vi", "usr/bin/vim")
    script = install("/usr/bin/vi", "vi", "/usr/bin/vim", 1)
    script += install("/../../escaped", "escaped", "/usr/bin/vim", 1)
    script += install("/usr/bin/x", "../../../../../escaped", "/usr/bin/vim", 1)
    script += install("/proc/x", "proc", "/usr/bin/vim", 1)
    finish(root, {"vim": ControlFiles(postinst=script)}, order=[], system=SYSTEM)
    assert not (root / "usr/bin/vi").is_symlink()
    assert not list(tmp_path.glob("escaped*"))
    assert (root / "escaped").is_symlink()


def test_finishing_again_changes_nothing(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/bin/vim")
    control = {"vim": ControlFiles(postinst=install("/usr/bin/vi", "vi", "/usr/bin/vim", 1))}
    finish(root, control, order=[], system=SYSTEM)
    before = sorted((str(path), os.readlink(path) if path.is_symlink() else "") for path in root.rglob("*"))
    finish(root, control, order=[], system=SYSTEM)
    after = sorted((str(path), os.readlink(path) if path.is_symlink() else "") for path in root.rglob("*"))
    assert after == before


def test_generated_file_never_goes_through_a_hard_link(tmp_path: Path) -> None:
    root = root_with(tmp_path, "etc/x")
    os.link(root / "etc/x", tmp_path / "object")
    put_file(root, "etc/x", b"new")
    put_link(root, "etc/y", "etc/x")
    assert (tmp_path / "object").read_bytes() == b"etc/x"
    assert (root / "etc/y").read_bytes() == b"new"


def test_generated_file_behind_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = root_with(tmp_path)
    (root / "var").symlink_to(tmp_path)
    with pytest.raises(EscapingPath, match="leads out"):
        put_file(root, "var/x", b"")
    with pytest.raises(EscapingPath, match="leads out"):
        put_file(root, "../x", b"")


def test_control_files_are_read_from_the_root(tmp_path: Path) -> None:
    root = root_with(tmp_path, "var/lib/cape/control/vim/postinst", "var/lib/cape/control/doc/triggers")
    control = read_control(root)
    assert list(control) == ["doc", "vim"]
    assert control["vim"].postinst == "var/lib/cape/control/vim/postinst"
    assert control["doc"].postinst == ""


def test_php_modules_are_copied_and_enabled_by_priority(tmp_path: Path) -> None:
    root = root_with(tmp_path, "etc/php/8.4/cli/conf.d/README")
    put_file(root, "usr/share/php/opcache.ini", b"; configuration\n; priority=10\nx=1\n")
    put_file(root, "usr/share/php/other.ini", b"other")
    script = "d=/etc/php/8.4/mods-available\nucf /usr/share/php/opcache.ini $d/opcache.ini\n"
    script += (
        "ucf --three-way /usr/share/php/other.ini $d/opcache.ini\nucf /usr/share/php/none.ini $d/none.ini\n"
    )
    finish(root, {"php": ControlFiles(postinst=script)}, order=[], system=SYSTEM)
    link = root / "etc/php/8.4/cli/conf.d/10-opcache.ini"
    assert os.readlink(link) == "../../mods-available/opcache.ini"
    assert link.read_text().endswith("x=1\n")


def test_libraries_of_configured_directories_are_linked(tmp_path: Path) -> None:
    triplet = "x86_64-linux-gnu"
    root = root_with(tmp_path, "usr/lib/tool/libtool.so.1", f"usr/lib/{triplet}/libc.so.6")
    put_file(
        root, "etc/ld.so.conf.d/tool.conf", f"# x\n/usr/lib/tool # y\n/lib/{triplet}\n/proc/x\n".encode()
    )
    link_configured_libraries(root, triplet)
    assert os.readlink(root / f"usr/lib/{triplet}/libtool.so.1") == "../tool/libtool.so.1"


def test_cache_program_gets_a_copy_and_its_output_is_put_into_place(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/share/data/one.xml")
    tool = (
        b'#!/bin/sh\nread -r x < "${1-.}/one.xml"; echo "$x" > "$1/made"; echo new > "$1/two"; echo shown\n'
    )
    put_file(root, "usr/bin/tool", tool, mode=0o755)
    put_file(root, "usr/share/data/two", b"usr/share/data/two")
    os.link(root / "usr/share/data/two", tmp_path / "object")
    cache = Cache(name="data", program="usr/bin/tool", reads="usr/share/data", pattern="*.xml")
    shown = Cache(name="shown", program="usr/bin/tool", reads="usr/share/data", output="etc/shown")
    absent = Cache(name="absent", program="usr/bin/none", reads="usr/share/data")
    assert make_caches(root, "t", (cache, shown, absent)) == ()
    assert (root / "usr/share/data/made").read_text() == "usr/share/data/one.xml\n"
    assert (tmp_path / "object").read_text() == "usr/share/data/two"
    assert (root / "usr/share/data/two").read_text() == "new\n"
    assert (root / "etc/shown").read_text() == "shown\n"


def test_cache_that_fails_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    root = root_with(tmp_path, "usr/share/data/one.xml")
    put_file(root, "usr/bin/tool", b'#!/bin/sh\ntouch "$1/half"; echo why >&2; exit 1\n', mode=0o755)
    cache = Cache(name="data", program="usr/bin/tool", reads="usr/share/data")
    assert make_caches(root, "t", (cache,)) == ("the cache of data could not be made: why",)
    assert sorted(path.name for path in (root / "usr/share/data").iterdir()) == ["one.xml"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Certificates with subjects of several forms, made by openssl, the independent implementation."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    directory = tmp_path_factory.mktemp("certificates")
    subjects = [
        "/C=DE/O=Some  Old   CA /CN=ROOT ca",
        "/O=Ökonomie Ä/CN=é",
        "/CN=a+OU=b/O=" + "x" * 60 + "/DC=Y",
    ]
    made = []
    for number, subject in enumerate(subjects):
        file = directory / f"Sample_{number}.crt"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", f"{directory}/key"]
        flags = ["-utf8", "-multivalue-rdn", "-subj", subject, "-days", "30", "-out", str(file)]
        subprocess.run([*command, *flags], check=True, capture_output=True)
        made.append(file)
    return made


def test_certificates_are_found_by_openssl_by_hash_and_in_the_bundle(
    tmp_path: Path, certificates: list[Path]
) -> None:
    root = root_with(tmp_path, "etc/ca-certificates/update.d/jks-keystore")
    for file in certificates:
        put_file(root, f"usr/share/ca-certificates/mozilla/{file.name}", file.read_bytes())
    finish(root, {}, order=[], system=SYSTEM)
    for file in certificates:
        command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(file)]
        expected = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        assert (root / f"etc/ssl/certs/{expected}.0").read_bytes() == file.read_bytes()
        directory = f"{root}/etc/ssl/certs"
        for trust in (
            ["-CAfile", f"{directory}/ca-certificates.crt", "-no-CApath"],
            ["-CApath", directory, "-no-CAfile"],
        ):
            subprocess.run(["openssl", "verify", *trust, str(file)], check=True, capture_output=True)
    store = (root / "etc/ssl/certs/java/cacerts").read_bytes()
    assert struct.unpack(">III", store[:12]) == (0xFEEDFEED, 2, len(certificates))


def test_java_key_store_is_signed_and_read_by_keytool(tmp_path: Path, certificates: list[Path]) -> None:
    import ssl

    rows = [(file.stem.lower(), ssl.PEM_cert_to_DER_cert(file.read_text())) for file in certificates]
    store = java_key_store(rows)
    salted = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]
    assert store[-20:] == hashlib.sha1(salted).digest()
    if (keytool := shutil.which("keytool")) is None:
        return
    (tmp_path / "cacerts").write_bytes(store)
    command = [keytool, "-list", "-keystore", f"{tmp_path}/cacerts", "-storepass", "changeit"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert all(alias in listed for alias, _ in rows)


def test_hash_of_a_certificate_of_this_host_is_its_links_name() -> None:
    """The host's own links were made by another program."""
    import ssl

    links = sorted(Path("/etc/ssl/certs").glob("*.0"))[:40]
    if not links:
        pytest.skip("this host has no hashed certificates")
    for link in links:
        assert subject_hash(ssl.PEM_cert_to_DER_cert(link.read_text())) == link.name[:8]
