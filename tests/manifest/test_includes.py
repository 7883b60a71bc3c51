"""Composition as values: layers and their order, merging key by key, removal, environments, bad inputs."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.manifest import (
    IncludeCycle,
    Included,
    IncludesDisagree,
    Manifest,
    ManifestError,
    UnknownEnvironment,
    compose,
    environment_of,
    parse_manifest,
)
from cape.manifest.include import Wanted, directory_expression
from cape.names import Digest

HEAD = 'schema = 1\n[environment]\nname = "demo"\nsystems = ["x86_64-linux", "aarch64-linux"]\n'


class Texts:
    """Opens manifests of a table of texts, by the path of their directory."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def open(self, wanted: Wanted, name: str, above: Included | None, manifest: Manifest) -> Included:
        place = posixpath.normpath(posixpath.join(str(manifest.path.parent), wanted.path))
        text = HEAD + self.texts[place]
        return Included(
            name=name,
            place=place,
            path=wanted.path,
            directory=Path(place),
            expression=directory_expression(wanted, above),
            digest=Digest.of(text.encode()),
            text=text,
        )


def included(*paths: str, remove: str = "") -> str:
    rows = ", ".join(f'{{ path = "{path}" }}' for path in paths)
    return f"[include]\nenvironments = [{rows}]\n" + (f"remove = [{remove}]\n" if remove else "")


def composed(text: str, **texts: str) -> Manifest:
    root = parse_manifest(HEAD + text, path=Path("/at/root/cape.toml"))
    return compose(root, Texts({f"/at/{name}": one for name, one in texts.items()}))


def test_manifest_without_includes_is_itself() -> None:
    root = parse_manifest(HEAD + '[packages]\njq = "*"\n', path=Path("/at/root/cape.toml"))
    assert compose(root, Texts({})) is root


def test_higher_layers_count_key_by_key_and_lower_ones_are_told() -> None:
    whole = composed(
        '[packages]\njq = ">=1.7"\n' + included("../one", "../two"),
        one='[packages]\njq = "*"\nripgrep = "14"\n[vars]\nA = "1"\n',
        two='[packages]\nripgrep = "15"\n[vars]\nB = "2"\n',
    )
    assert {one.name: one.constraint for one in whole.requirements} == {"jq": ">=1.7", "ripgrep": "15"}
    assert dict(whole.vars) == {"A": "1", "B": "2"}
    assert whole.overridden == (
        "`packages.ripgrep` of /at/one/cape.toml:7:1 gives way to that of /at/two/cape.toml:6:1",
        "`packages.jq` of /at/one/cape.toml:6:1 gives way to that of /at/root/cape.toml:6:1",
    )
    assert whole.origins["vars.A"] == "/at/one/cape.toml:9:1"


def test_equal_values_give_way_without_a_word() -> None:
    whole = composed('[vars]\nA = "1"\n' + included("../one"), one='[vars]\nA = "1"\n')
    assert whole.overridden == ()


def test_hooks_and_profiles_run_one_after_another() -> None:
    whole = composed(
        '[hook]\non-activate = "three"\n[profile]\nbash = "b"\n' + included("../one", "../two"),
        one='[hook]\non-activate = """\none\n"""\n[profile]\ncommon = "c"\n',
        two='[hook]\non-activate = "two"\n[profile]\nbash = "a"\n',
    )
    assert whole.hook.on_activate == "one\ntwo\nthree"
    assert dict(whole.profile) == {"common": "c", "bash": "a\nb"}


def test_variables_are_ordered_over_all_layers() -> None:
    whole = composed('[vars]\nA = "$B/a"\n' + included("../one"), one='[vars]\nC = "$A/c"\nB = "b"\n')
    assert list(whole.vars) == ["B", "A", "C"]


def test_systems_are_those_of_all_and_one_suite_is_enough() -> None:
    one = HEAD.replace('"x86_64-linux", ', "") + 'debian = "trixie"\n'
    root = parse_manifest(HEAD + included("../one"), path=Path("/at/root/cape.toml"))

    class Narrow(Texts):
        def open(self, wanted: Wanted, name: str, above: Included | None, manifest: Manifest) -> Included:
            found = super().open(wanted, name, above, manifest)
            return Included(**{field: getattr(found, field) for field in found.__slots__} | {"text": one})

    whole = compose(root, Narrow({"/at/one": ""}))
    assert [str(system) for system in whole.systems] == ["aarch64-linux"]
    assert whole.debian == "trixie"


def test_exposed_programs_are_added_up_and_a_higher_word_undoes_a_lower() -> None:
    whole = composed(
        'expose = { add = ["perl"], hide = ["git-shell"] }\n' + included("../one"),
        one='expose = { add = ["git-shell", "tar"], hide = ["perl", "su"] }\n',
    )
    assert whole.expose.add == ("tar", "perl")
    assert whole.expose.hide == ("su", "git-shell")


def test_removal_reaches_only_what_its_own_includes_brought() -> None:
    text = included("../one", "../two")
    whole = composed(
        text,
        one='[vars]\nA = "1"\n',
        two='[vars]\nB = "2"\n' + included("../three", remove='"vars.A"'),
        three='[vars]\nA = "3"\n',
    )
    # `three` lies over `one`; `two` removes what `three` brought.
    assert dict(whole.vars) == {"B": "2"}
    with pytest.raises(ManifestError, match=r"`vars\.A` is to be removed"):
        composed(text, one='[vars]\nA = "1"\n', two=included("../three", remove='"vars.A"'), three="")


def test_include_dir_is_the_directory_of_the_manifest_that_says_it() -> None:
    whole = composed(
        '[vars]\nROOT = "$INCLUDE_DIR"\n' + included("../one"),
        one='[vars]\nONE = "${INCLUDE_DIR}/x"\nOTHER = "$INCLUDE_DIRECTORY"\n'
        '[hook]\non-activate = ". $INCLUDE_DIR/env"\n'
        '[services.db]\ncommand = "$INCLUDE_DIR/db"\n' + included("../two"),
        two='[vars]\nTWO = "$INCLUDE_DIR"\n',
    )
    assert dict(whole.vars) == {
        "TWO": "$CAPE_PROJECT/../one/../two",
        "ONE": "$CAPE_PROJECT/../one/x",
        "OTHER": "$INCLUDE_DIRECTORY",
        "ROOT": "$CAPE_PROJECT",
    }
    assert whole.hook.on_activate == ". $CAPE_PROJECT/../one/env"
    assert whole.services["db"]["command"] == "$CAPE_PROJECT/../one/db"  # type: ignore[index]


def test_include_dir_that_no_shell_text_can_hold_is_refused() -> None:
    text = '[include]\nenvironments = [{ path = "../a;b", name = "odd" }]\n'
    root = parse_manifest(HEAD + text, path=Path("/at/root/cape.toml"))
    with pytest.raises(ManifestError, match="characters that shell text cannot hold"):
        compose(root, Texts({"/at/a;b": '[vars]\nA = "$INCLUDE_DIR"\n'}))
    assert compose(root, Texts({"/at/a;b": '[vars]\nA = "1"\n'})).vars["A"] == "1"


def test_documents_of_an_included_knowledge_base_are_the_projects() -> None:
    whole = composed(included("../one"), one='[knowledge.notes]\nsources = ["*.md"]\n')
    assert whole.knowledge["notes"]["sources"] == ("*.md",)  # type: ignore[index]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ('{ name = "x" }', "has no `path`"),
        ('{ path = "a", ref = "main" }', "`ref` is for includes from git"),
        ('{ git = "nowhere" }', "no address of a git repository"),
        ('{ git = "ext::sh -c id" }', "no address of a git repository"),
        ('{ git = "--upload-pack=x" }', "no address of a git repository"),
        ('{ git = "https://u:p@h.example/r" }', "holds credentials"),
        ('{ git = "https://token@h.example/r" }', "holds credentials"),
        ('{ git = "ssh://git@h.example/r", path = "../x" }', "leads out of the repository"),
        ('{ git = "ssh://git@h.example/r", ref = "--x" }', "no branch, tag or commit"),
        ('{ path = "a" }, { path = "b/a" }', "two included environments are called `a`"),
        ('{ path = ".." }', "is no name for an include"),
        ('{ path = "a", nmae = "b" }', "has no key `nmae`"),
        ("{ path = 1 }", "is a string"),
    ],
)
def test_wrong_rows_of_includes_are_named(item: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(HEAD + f"[include]\nenvironments = [{item}]\n", path=Path("cape.toml"))
    assert said in str(caught.value)
    assert str(caught.value).startswith("cape.toml:6:")


@pytest.mark.parametrize("name", ["nonsense", "packages", "packages.", "environment.debian"])
def test_only_things_of_some_tables_can_be_removed(name: str) -> None:
    with pytest.raises(ManifestError, match="is nothing that can be removed"):
        composed(included("../one", remove=f'"{name}"'), one="")


def test_ring_through_the_root_is_named() -> None:
    with pytest.raises(IncludeCycle, match="`demo` -> `one` -> `demo`"):
        composed(included("../one"), one=included("../root"), root="")


def test_package_and_model_of_one_name_in_two_manifests_are_refused() -> None:
    with pytest.raises(ManifestError, match=r"in `\[packages\]` here and in `\[models\]` at /at/one"):
        composed(
            '[packages]\nwriter = "*"\n' + included("../one"),
            one='[models]\nwriter = { pypi = "w", file = "*" }\n',
        )


def test_service_that_no_layer_has_is_missed_in_the_whole() -> None:
    text = '[services.web]\ncommand = "x"\ndepends-on = ["db"]\n' + included("../one")
    assert composed(text, one='[services.db]\ncommand = "y"\n').services.keys() == {"db", "web"}
    with pytest.raises(ManifestError, match="service `web` needs `db`"):
        composed(text, one="")


def test_environment_is_the_manifest_with_its_own_over_it() -> None:
    root = composed(
        '[packages]\njq = "*"\n[vars]\nA = "1"\nB = "1"\n'
        '[environments.test]\nvars = { A = "2" }\npackages = { tool = "*" }\nremove = ["vars.B"]\n'
        '[environments.bare]\ninherit = false\nsystems = ["aarch64-linux"]\n'
    )
    test, bare = environment_of(root, "test"), environment_of(root, "bare")
    assert [one.name for one in test.requirements] == ["jq", "tool"]
    assert dict(test.vars) == {"A": "2"}
    assert (test.name, test.environment, test.text) == ("demo-test", "test", root.text)
    assert (bare.requirements, dict(bare.vars), len(bare.systems)) == ((), {}, 1)
    assert environment_of(root, None) is environment_of(root, "default") is root
    with pytest.raises(UnknownEnvironment, match="no environment `tset`"):
        environment_of(root, "tset")


def test_environment_may_have_no_system_left() -> None:
    root = composed('[environments.mac]\nsystems = ["aarch64-darwin"]\n')
    with pytest.raises(IncludesDisagree, match="no system in common"):
        environment_of(root, "mac")


def test_places_inside_an_environment_are_those_of_the_file() -> None:
    with pytest.raises(ManifestError) as caught:
        composed(
            '[environments.test]\nvars = { A = "1" }\n[environments.test.packages]\njq = { pip = "*" }\n'
        )
    assert str(caught.value).startswith("/at/root/cape.toml:8:8: ")


# -- laws --------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["A", "B", "C", "D"])
VARIABLES = st.dictionaries(NAMES, st.text("xyz", max_size=3), max_size=4)


def written(variables: dict[str, str]) -> str:
    return "[vars]\n" + "".join(f'{name} = "{value}"\n' for name, value in variables.items())


@settings(max_examples=60)
@given(layers=st.lists(VARIABLES, min_size=1, max_size=4), own=VARIABLES)
def test_side_by_side_the_last_to_say_a_variable_counts(
    layers: list[dict[str, str]], own: dict[str, str]
) -> None:
    names = [f"layer{index}" for index in range(len(layers))]
    whole = composed(
        written(own) + included(*(f"../{name}" for name in names)),
        **{name: written(layer) for name, layer in zip(names, layers, strict=True)},
    )
    expected: dict[str, str] = {}
    for layer in (*layers, own):
        expected |= layer
    assert dict(whole.vars) == expected


@settings(max_examples=60)
@given(layers=st.lists(VARIABLES, min_size=3, max_size=5), data=st.data())
def test_what_is_included_never_counts_over_what_includes_it(
    layers: list[dict[str, str]], data: st.DataObject
) -> None:
    """In any graph: a variable's value is never that of a manifest below another that says it too."""
    count = len(layers)
    below = {
        index: data.draw(st.lists(st.integers(0, index - 1), unique=True)) if index else []
        for index in range(count)
    }
    texts = {
        f"layer{index}": written(layer) + included(*(f"../layer{other}" for other in below[index]))
        for index, layer in enumerate(layers)
    }
    whole = composed(included(f"../layer{count - 1}"), **texts)
    reached = closure(count - 1, below)
    for name, value in whole.vars.items():
        saying = [index for index in reached if name in layers[index]]
        top = [one for one in saying if not any(one in closure(other, below) - {other} for other in saying)]
        assert value in {layers[index][name] for index in top}
    assert whole.vars.keys() == {name for index in reached for name in layers[index]}


def closure(start: int, below: dict[int, list[int]]) -> set[int]:
    found, waiting = set(), [start]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += below[index]
    return found
