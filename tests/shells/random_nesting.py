"""Random environments, entered and left in random order, must leave no trace in any shell.

One shell process goes through many rounds. Each round first changes the user's own state at random, writes
the whole state down, enters and leaves environments with random variables and profiles, leaves all, and
writes the state down again: the two must be equal byte for byte. What a shell cannot give back (the guide
`activation` says what) is not drawn. By hand: `python -m tests.shells.random_nesting --rounds 1000`.
"""

# ruff: noqa: E501

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cape.environment.activation import Activation, Operation, Prepend, Reference, Set, Unset
from cape.environment.shells import render_shells
from cape.environment.shells.quoting import fish_quoted, quoted
from tests.shells.programs import shell_programs

KINDS = {"bash": "bash", "zsh": "zsh", "fish": "fish", "dash": "sh", "busybox": "sh"}
VALUES = [
    "", "plain", "two words", "it's", 'a "b" c', "line\nline\n", "\n", "$HOME", "$(touch pwned)", "`touch pwned`",
    "back\\slash\\", "\\'", "tab\there", "é ü 漢", os.fsdecode(b"\xff\xfe\x80 x"), "*", "~", "a:b", ":", "!x !!",
    "%x %% %{", "a[$(touch pwned)]", "'; touch pwned; '", "#no", "{a,b}", "--", "-n", "\x1b[0m", "x=y",
]  # fmt: skip
NAMES = [
    "A",
    "B",
    "LISTED",
    "COUNTED",
    "TABLE",
    "EMPTY",
    "NEVER",
    "FIXED",
    "PS1",
    "CDPATH",
    "MANPATH",
    "LANG",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """A shell's words: its first state, how its whole state is written down, and statements to draw from."""

    setup: str
    state: str
    statements: Callable[[random.Random], str]
    source: str = "\\. {}"


def _word(draw: random.Random) -> str:
    return quoted(draw.choice(VALUES))


def _bash(draw: random.Random) -> str:
    word, name = _word(draw), draw.choice(["A", "B", "EMPTY", "NEVER", "PS1", "CDPATH", "MANPATH"])
    function, flag = draw.choice(["greet", "taken", "other"]), draw.choice("su")
    return draw.choice(
        [
            f"{name}={word}", f"export {name}={word}", f"unset {name}", f"LISTED=({word} {_word(draw)})",
            f"LISTED+=({word})", "unset LISTED", "declare -gi COUNTED=7", "COUNTED+=1", "unset COUNTED",
            f"declare -gA TABLE=([k]={word} ['a b']=2)", "unset TABLE", f"{function}() {{ echo {word}; }}",
            f"unset -f {function}", f"alias ll={word} g{draw.randint(0, 3)}=git", "unalias ll 2>/dev/null",
            f"shopt -{flag} nullglob", f"shopt -{flag} extglob", f"shopt -{flag} nocasematch",
            f"shopt -{flag} expand_aliases", f"set {draw.choice('-+')}o noglob", f"set {draw.choice('-+')}C",
            f"set {draw.choice('-+')}u", f"set {draw.choice('-+')}a", "export -f greet 2>/dev/null",
            f"PATH=$PATH:/{draw.randint(0, 9)}", "declare -gl LOW=ABC", "export -n A", "IFS=:", "unset IFS",
            "declare -gx B",
        ]
    )  # fmt: skip


_VOLATILE = (
    "BASHPID|BASH_(ALIASES|CMDS|ARGC|ARGV|LINENO|SOURCE|COMMAND|SUBSHELL|ARGV0)|EPOCH.*|FUNCNAME|LINENO"
    "|PIPESTATUS|RANDOM|SECONDS|SRANDOM|_|OLDPWD|PWD|BASH_REMATCH"
)
BASH = Language(
    setup="LISTED=(one 'two three'); declare -i COUNTED=3; declare -A TABLE=([k]='v w'); export EMPTY=\n"
    "readonly FIXED=x; PS1='\\u $ '; export A=$'\\xff'; kept() { cat <<E\n}\nE\n}\n",
    state=f"""\
state() {{
    {{
        set +o; shopt -p; IFS=$' \\t\\n' command -p true
        declare -p | LC_ALL=C /usr/bin/grep -av -E '^declare -[^ ]+ ({_VOLATILE})(=|$)'
        declare -f; declare -F; alias -p; trap -p
    }} >| "$1" 2>&1
}}
""",
    statements=_bash,
)


def _zsh(draw: random.Random) -> str:
    """Global aliases hold for any bare word, so their names are quoted where they are meant themselves."""
    word, name = _word(draw), draw.choice(["A", "B", "EMPTY", "NEVER", "PS1", "CDPATH", "MANPATH", "RPROMPT"])
    function = draw.choice(["greet", "taken", "other"])
    option = draw.choice(
        [
            "extended_glob",
            "ksh_arrays",
            "sh_word_split",
            "null_glob",
            "no_aliases",
            "no_unset",
            "local_options",
            "glob_subst",
            "rc_quotes",
            "no_clobber",
            "all_export",
            "prompt_subst",
            "interactive_comments",
            "auto_cd",
            "posix_builtins",
            "ksh_glob",
            "no_multibyte",
        ]
    )
    return draw.choice(
        [
            f"{name}={word}", f"export {name}={word}", f"unset {draw.choice('AB')} EMPTY NEVER",
            f"typeset -ga LISTED; LISTED=({word} {_word(draw)})", "unset LISTED", "typeset -gi 16 COUNTED=255",
            "unset COUNTED", f"typeset -gA TABLE; TABLE=(k {word} 'a b' 2)", "unset TABLE",
            f"functions[{function}]={quoted('print -r -- ' + word)}", f"unset -f {function} 2>/dev/null",
            f"alias ll={word}", f"alias -g GG={word}", f"alias -s txt={word}", "unalias ll 'GG' 2>/dev/null",
            "unalias -s txt 2>/dev/null", f"setopt {option}", f"unsetopt {option}", "typeset -gF 3 FLOATING=1.5",
            "unset FLOATING", "typeset -gE 4 FLOATING=2.25", "typeset -gL 5 LEFT=abc", "typeset -gU path",
            "typeset -g +U path", "typeset -gT TIED tied; TIED=a:b", "unset TIED", f"typeset -gu UPPER={word}",
            f"path=($path /{draw.randint(0, 9)})", "fpath=(/x $fpath)", "autoload -Uz colors",
            "unset -f colors 2>/dev/null", "HISTSIZE=77", "SAVEHIST=5", "typeset -gx B", "typeset -g +x A",
            "typeset -gx TIED 2>/dev/null", "LANG=C", "export LANG=C.UTF-8", "WORDCHARS=abc",
            f"typeset -gH SECRETIVE={word}", "typeset -gZ 4 ZEROS=7", "typeset -gt TAGGED=1",
        ]
    )  # fmt: skip


ZSH = Language(
    setup="zmodload zsh/parameter zsh/zleparameter 2>/dev/null\n"
    "LISTED=(one 'two three'); typeset -i COUNTED=3; typeset -A TABLE=(k 'v w'); export EMPTY=\n"
    "readonly FIXED=x; PS1='%m $ '; export A=$'\\xff'; kept() { cat <<E\n}\nE\n}\n",
    state="""\
state() {
    setopt >| "$1.options"
    emulate -L zsh -o no_aliases
    { typeset -p; functions; alias -L; alias -gL; alias -sL } >| "$1" 2>&1
    print -r -- ${(t)SECRETIVE} ${(qqqq)SECRETIVE} ${(t)A} >> "$1"
}
""",
    statements=_zsh,
)
_ZSH_VOLATILE = (
    rb"^(export|typeset)[^=]* (SECONDS|RANDOM|_|EPOCH\w*|LINENO|TTYIDLE|func\w*|0|argv|\?|status|pipestatus|PWD"
    rb"|zsh_eval_context|ZSH_EVAL_CONTEXT|OLDPWD|\d)(=.*)?$"
)


def _fish(draw: random.Random) -> str:
    word, other = fish_quoted(draw.choice(VALUES)), fish_quoted(draw.choice(VALUES))
    name = draw.choice(["A", "B", "EMPTY", "NEVER", "LISTED", "CDPATH", "MANPATH"])
    function = draw.choice(["greet", "taken", "other", "ls"])
    return draw.choice(
        [
            f"set -g {name} {word}", f"set -gx {name} {word}", f"set -eg {name}", f"set -gu {name} {word} {other}",
            f"set -gx {name}", f"set -g --path {name} {word} {other}", f"set -U {name} {word}",
            f"set -Ux UNIVERSAL {word}", f"set -eU {name}", "set -eU UNIVERSAL", f"set -ga LISTED {word}",
            f"function {function} --description {word}; echo {word}; end", f"functions -e {function}",
            f"abbr -a ab{draw.randint(0, 3)} -- {other}", "abbr -e ab1", "abbr -a --position anywhere ab2 -- x",
            f"set -gx PATH $PATH /{draw.randint(0, 9)}", f"set -g fish_greeting {word}",
            "function fish_prompt; echo 'mine> '; end", f"function cape; echo {word}; end",
            "set -g fish_complete_path /x $fish_complete_path", "set -gx LANG C.UTF-8",
        ]
    )  # fmt: skip


FISH = Language(
    setup="set -g LISTED one 'two three'; set -gx EMPTY ''; set -gx A \\xff\\xfe; ls --version >/dev/null; abbr --list\n"
    "function kept; echo '}'; end; alias ll 'ls -l'; fish_prompt >/dev/null; set -Ux EVERYWHERE 1\n",
    state="""\
function state
    set -S | string match -v -r '^\\$(CMD_DURATION|status|pipestatus|history|_cape_|argv|status_generation|_|last_pid'\\
'|__fish|PWD|dirprev|OLDPWD|state_).*' > $argv[1]
    functions -a -n >> $argv[1]
    for state_f in greet taken other ls kept ll fish_prompt cape
        functions --no-details $state_f >> $argv[1]
    end
    abbr --show >> $argv[1]
    command env -0 -u PWD | command sort -z >> $argv[1]
end
""",
    statements=_fish,
    source="source {}",
)


def _sh(draw: random.Random) -> str:
    word, name = _word(draw), draw.choice(["A", "B", "EMPTY", "NEVER", "CDPATH", "MANPATH"])
    return draw.choice(
        [
            f"{name}={word}", f"export {name}={word}", f"unset {name}", "export NEVER", "PS1='x '",
            f"alias ll={quoted(draw.choice([v for v in VALUES if chr(10) not in v]))}", "unalias ll 2>/dev/null || :",
            f"set {draw.choice('-+')}f", f"set {draw.choice('-+')}C", f"set {draw.choice('-+')}u",
            f"set {draw.choice('-+')}a", f"PATH=$PATH:/{draw.randint(0, 9)}", "IFS=:", "unset IFS",
            f"alias g{draw.randint(0, 3)}=git",
        ]
    )  # fmt: skip


SH = Language(
    setup="export EMPTY= FIXED=x; readonly FIXED; PS1='$ '; B='it'\\''s\n'\nexport PS1 IFS\n",
    state="""\
state() {
    { set; export -p; alias; set +o; readonly -p; } >| "$1" 2>&1
}
""",
    statements=_sh,
)
LANGUAGES = {"bash": BASH, "zsh": ZSH, "fish": FISH, "sh": SH}
_SH_VOLATILE = rb"^(export )?(_|FUNCNAME|OPTIND|LINENO|RANDOM|PPID|PWD|OLDPWD|SECONDS|EPOCH\w*)=.*$"


def _operations(draw: random.Random) -> list[Operation]:
    made: list[Operation] = []
    for _ in range(draw.randint(0, 4)):
        name = draw.choice(NAMES)
        value = draw.choice(VALUES)
        choices: list[Operation] = [
            Set(name=name, value=(value,), origin="t"),
            Set(name=name, value=(Reference("HOME"), value), origin="t"),
            Unset(name=name, origin="t"),
            Prepend(name=name, value=value or "x", origin="t"),
            Prepend(name="PATH", value=f"/opt/{draw.randint(0, 5)}", origin="t"),
        ]
        made.append(draw.choice(choices))
    return made


def activations(draw: random.Random, directory: Path, kind: str, amount: int) -> list[str]:
    """Random environments, as commands that enter them."""
    lines = []
    for number in range(amount):
        project = directory / f"pröject {number} {{it's}}"
        scripts = project / "scripts"
        own: list[Operation] = [
            Set(name="CAPE_ENV", value=(str(project / "env"),), origin="cape"),
            Set(name="CAPE_PROJECT", value=(str(project),), origin="cape"),
            Prepend(name="PATH", value=str(project / "env/bin"), origin="cape"),
        ]
        drawn = [LANGUAGES[kind].statements(draw) for _ in range(draw.randint(0, 8))]
        text = "\n".join(line for line in drawn if not line.startswith("function cape"))
        if kind == "sh":
            text += f"\nmade{number}() {{ echo hi; }}"
        activation = Activation(
            name=f"p{number}",
            project=project,
            environment=project / "env",
            operations=(*own, *_operations(draw)),
            development=(Prepend(name="MANPATH", value="/m", origin="t", otherwise=":"),),
            profile={kind: text} if draw.random() < 0.7 else {},
        )
        for name, script in render_shells(activation, scripts).items():
            (scripts / name).parent.mkdir(parents=True, exist_ok=True)
            (scripts / name).write_bytes(os.fsencode(script))
        word = (fish_quoted if kind == "fish" else quoted)(str(scripts / f"activate.{kind}"))
        mode = draw.choice(["", "", "set -g _cape_mode dev; " if kind == "fish" else "_cape_mode=dev; "])
        lines.append(mode + LANGUAGES[kind].source.format(word))
    return lines


def one_round(
    draw: random.Random, language: Language, number: int, entering: list[str], where: Path
) -> list[str]:
    """The lines of a round: it ends where it began."""
    lines = [language.statements(draw) for _ in range(draw.randint(0, 6))]
    word = fish_quoted if language is FISH else quoted
    lines.append(f"state {word(str(where / f'{number}.before'))}")
    inside: list[str] = []
    for _ in range(draw.randint(1, 6)):
        if inside and draw.random() < 0.35:
            lines.append("cape deactivate")
            inside.pop()
        else:
            line = draw.choice(entering)
            if inside and inside[-1].split(";")[-1] == line.split(";")[-1]:
                inside.pop()  # entered again, it is left first
            inside.append(line)
            lines.append(line)
        if draw.random() < 0.2:
            lines.append(f"cd {draw.choice(['/', '/usr', word(str(where))])}")
    lines += ["cape deactivate"] * len(inside)
    return [*lines, f"state {word(str(where / f'{number}.after'))}"]


def nest(shell: str, words: list[str], rounds: int, seed: int, directory: Path) -> list[str]:
    """Differences that the rounds left, as texts; empty if there are none."""
    draw = random.Random(f"{shell}:{seed}")
    kind = KINDS[shell]
    language = LANGUAGES[kind]
    where = directory / "states"
    where.mkdir(parents=True)
    entering = activations(draw, directory, kind, max(8, rounds // 20))
    lines = [language.state, language.setup]
    for number in range(rounds):
        lines += one_round(draw, language, number, entering, where)
    script = directory / f"rounds.{kind}"
    script.write_bytes(os.fsencode("\n".join([*lines, "echo done", ""])))
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}.get(shell, [])
    home = directory / "home"
    home.mkdir()
    ran = subprocess.run(
        [*words, *plain, str(script)], capture_output=True, cwd=directory, check=False, timeout=60 + rounds,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "LD_LIBRARY_PATH": "/nowhere"},
    )  # fmt: skip
    (directory / "complaints").write_bytes(ran.stderr)
    found = [] if ran.stdout.endswith(b"done\n") else [f"it ended early: {ran.stderr[-2000:]!r}"]
    if (directory / "pwned").exists():
        found.append("a value was run")
    return found + _differences(where, rounds, script, kind)


def _differences(where: Path, rounds: int, script: Path, kind: str) -> list[str]:
    found = []
    for number in range(rounds):
        for ending in ("", ".options"):
            before, after = (where / f"{number}.{when}{ending}" for when in ("before", "after"))
            if not before.exists() and ending:
                continue
            if not before.exists() or not after.exists():
                found.append(f"round {number} wrote nothing down")
                continue
            one, other = _plain(before, kind), _plain(after, kind)
            if one != other:
                gone = [line for line in one if line not in other][:8]
                new = [line for line in other if line not in one][:8]
                found.append(f"round {number} of {script}: gone {gone!r}, new {new!r}")
    return found


def _plain(file: Path, kind: str) -> list[bytes]:
    """The state's lines but what two moments of one shell differ in."""
    import re

    volatile = {"zsh": _ZSH_VOLATILE, "sh": _SH_VOLATILE}.get(kind)
    lines = file.read_bytes().split(b"\n")
    return [line for line in lines if volatile is None or not re.match(volatile, line)]


def main() -> int:
    """Run as many rounds as asked for, and say what differed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shell", choices=list(KINDS), action="append")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="nesting-"))
    programs = shell_programs(directory)
    failed = False
    for shell in arguments.shell or KINDS:
        start = time.monotonic()
        found = nest(shell, programs[shell], arguments.rounds, arguments.seed, directory / shell)
        took_s = time.monotonic() - start
        print(f"{shell}: {arguments.rounds} rounds, {len(found)} differ, {took_s:.1f} s")
        for text in found[:5]:
            print(f"  {text}")
        failed = failed or bool(found)
    if not arguments.keep:
        import shutil

        shutil.rmtree(directory, ignore_errors=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
