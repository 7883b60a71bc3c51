"""What commands say: stdout, stderr and exit code, compared with snapshots."""

from __future__ import annotations

import pytest

from cape.cli.declarations import COMMANDS, Command
from cape.cli.help import command_help, overview
from tests.cli.snapshots import check, transcript
from tests.end_to_end.harness import Project, World, add_program

UNSET = ("CAPE_PYPI_INDEX", "CAPE_NPM_REGISTRY", "CAPE_NETWORK_SILENCE", "CAPE_NETWORK_ATTEMPTS")

READING: dict[str, tuple[tuple[str, ...], ...]] = {
    "list": (("list",), ("list", "--all"), ("list", "-q")),
    "show": (("show", "hello"), ("show", "pypi:words"), ("show", "tool"), ("show", "hallo")),
    "why": (("why", "libgreet"), ("why", "words"), ("why", "python3"), ("why", "word")),
    "search": (
        ("search", "debian:greet"),
        ("search", "debian:nothing-like-it"),
        ("search", "x", "--limit", "a"),
    ),
    "history": (("history",), ("rollback",), ("rollback", "7"), ("rollback", "seven")),
    "fresh": (("lock",), ("lock", "--check"), ("sync",), ("sync", "--locked", "--dry-run")),
    "doctor": (("doctor",), ("doctor", "--verify")),
    "gc": (("gc", "--dry-run"), ("gc", "--keep", "some")),
    "refused": (
        ("install", "hallo"),
        ("install", "hello@>=9"),
        ("install", "pypi:greetings"),
        ("install", "elsewhere:thing"),
        ("uninstall", "hullo"),
        ("upgrade", "hullo"),
        ("init",),
        ("deactivate",),
        ("activate", "--shell", "fish"),
        ("completions", "tcsh"),
    ),
    "usage": (
        (),
        ("instal", "jq"),
        ("frobnicate",),
        ("lock", "--chekc"),
        ("lock", "extra"),
        ("install",),
        ("gc", "--keep"),
        ("-C",),
        ("-C", "nowhere", "list"),
        ("run",),
        ("run", "--"),
    ),
}


@pytest.mark.parametrize("name", READING)
def test_commands_that_change_nothing_say(name: str, project: Project) -> None:
    before = project.state()
    check(name, transcript(project, READING[name]))
    assert project.state() == before


def test_first_lock_names_what_the_manifest_names_and_later_ones_every_change(world: World) -> None:
    project = world.project(name="changing", store="store-changing", hello="*")
    commands = (
        ("lock", "--check"),
        ("lock", "--dry-run"),
        ("lock",),
        ("sync", "--dry-run"),
        ("sync",),
        ("install", "tool", "pypi:greeting", "--dry-run"),
        ("install", "tool", "pypi:greeting"),
        ("uninstall", "hello"),
        ("history",),
        ("rollback",),
        ("list",),
    )
    check("changing", transcript(project, commands))


def test_upgrade_shows_both_versions(world: World) -> None:
    project = world.project(name="upgrading", store="store-upgrading", tool="*")
    project.cape("sync").succeeded()
    add_program(world.archive, "tool", "1.1-1")
    world.publish()
    try:
        check("upgrade", transcript(project, (("upgrade", "--dry-run"), ("upgrade", "tool"))))
    finally:
        for stanzas in world.archive.suites["trixie"].stanzas.values():
            stanzas.pop()
        world.publish()


@pytest.mark.parametrize("name", ["plain", "two words", "ünïcode", "-dash", "..."])
def test_init_works_in_a_directory_of_any_name(name: str, world: World) -> None:
    project = Project(
        directory=world.directory(f"odd-{name.encode().hex()}/{name}"), environment=world.variables()
    )
    project.cape("init").succeeded()
    assert (project.directory / ".gitattributes").read_text() == "cape.lock merge=union\n"
    project.cape("lock", "--dry-run").succeeded()
    project.cape("install", "tool").succeeded()
    assert project.cape("run", "--", "tool").stdout == "tool 1.0-1\n"


def test_init_says_what_it_wrote_and_what_comes_next(world: World) -> None:
    project = Project(directory=world.directory("starting"), environment=world.variables())
    text = transcript(project, (("init", "--dry-run"), ("init", "--name", "given"), ("init",)))
    text += "\n--- cape.toml\n" + project.manifest.read_text()
    check("init", text)


def test_init_keeps_what_gitattributes_has(world: World) -> None:
    project = Project(directory=world.directory("attributes"), environment=world.variables())
    attributes = project.directory / ".gitattributes"
    attributes.write_text("*.png binary")
    project.cape("init").succeeded()
    assert attributes.read_text() == "*.png binary\ncape.lock merge=union\n"


def test_config_sets_shows_and_unsets(world: World) -> None:
    project = world.project(name="configuring")
    home = project.directory / "home"
    project = project.with_variables(XDG_CONFIG_HOME=str(home), **dict.fromkeys(UNSET, ""))
    commands = (
        ("config",),
        ("config", "pypi.index"),
        ("config", "pypi.index", "file:///index"),
        ("config", "pypi.index"),
        ("config", "artifacts", "/a", "/b"),
        ("config", "artifacts"),
        ("config", "pypi.index", "one", "two"),
        ("config", "pypi.index", "--unset"),
        ("config", "pypy.index"),
    )
    check("config", transcript(project, commands))


def test_directory_option_works_before_and_after_the_command(project: Project, world: World) -> None:
    elsewhere = Project(directory=world.directory("elsewhere"), environment=project.environment)
    expected = project.cape("list").stdout
    for words in (
        ("-C", str(project.directory), "list"),
        ("list", "-C", str(project.directory)),
        ("--directory", str(project.directory), "list"),
    ):
        assert elsewhere.cape(*words).succeeded().stdout == expected
    elsewhere.cape("list").failed(1, "neither")


@pytest.mark.parametrize("words", [("list",), ("lock",), ("sync",), ("history",), ("gc", "--dry-run")])
def test_quiet_says_nothing_on_stderr(words: tuple[str, ...], project: Project) -> None:
    assert project.cape(*words, "--quiet").succeeded().stderr == ""
    assert project.cape("-q", *words).succeeded().stderr == ""


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
def test_help_of_each_command(command: Command) -> None:
    check(f"help-{command.name.replace(' ', '-')}", command_help(command, columns=100))


def test_help_in_all_its_spellings(project: Project) -> None:
    check("help", overview() + "\n")
    for words in (("--help",), ("-h",), ("help",), ("-q", "--help")):
        assert project.cape(*words).succeeded().stdout == overview() + "\n"
    assert project.cape("help", "lock").stdout == project.cape("lock", "--help").succeeded().stdout
    assert project.cape("--version").succeeded().stdout.startswith("cape ")


def test_a_command_run_inside_keeps_its_own_json_flag(world: World) -> None:
    project = Project(directory=world.directory("no-project"), environment=world.variables())
    assert project.cape("run", "--", "echo", "--json").failed(1, "neither").stdout == ""
