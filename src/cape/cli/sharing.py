"""`cape push`, `pull`, `fork`, `log`, and `cape key`: environments in places, and who signed them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import count, paint, say, show_json, size, table
from cape.cli.progress import progress
from cape.errors import UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.sharing import Pulled
    from cape.sharing import Entry, PublicKey, Record


def push(arguments: argparse.Namespace) -> int:
    """`cape push PLACE`."""
    from cape.operations.sharing import known_place
    from cape.operations.sharing import push as push_project

    project = find_project(Path.cwd())
    known = known_place(project)
    place = arguments.place or (known.place if known else None)
    if place is None:
        raise NoPlace("this project knows no place yet", hint="name one: `cape push DIRECTORY`")
    pushed = push_project(
        project,
        Workshop.open(progress(quiet=arguments.quiet)),
        place,
        argv=sys.argv[1:],
        with_artifacts=arguments.with_artifacts,
        with_knowledge=arguments.with_knowledge,
        force=arguments.force,
        message=arguments.message or "",
        key=arguments.key,
        consent=ask,
    )
    record = pushed.entry.record
    if arguments.json:
        show_json(_record_fields(pushed.entry) | {"place": pushed.place, "unchanged": pushed.unchanged})
        return 0
    if pushed.unchanged:
        say(f"{pushed.place} has this already, as generation {record.number}", quiet=arguments.quiet)
        return 0
    carried = f", with {count(pushed.artifacts, 'artifact')} ({size(pushed.artifact_bytes)} sent)"
    indices = f", and the indices of {', '.join(f'`{one}`' for one in pushed.knowledge)}"
    more = (carried if pushed.artifacts else "") + (indices if pushed.knowledge else "")
    text = f"generation {record.number} is now at {pushed.place}{more}"
    say(text, quiet=arguments.quiet)
    return 0


class NoPlace(UsageError):
    """A place is wanted and none is named or known."""

    slug = "no-place"


def pull(arguments: argparse.Namespace) -> int:
    """`cape pull [PLACE]`."""
    from cape.operations.sharing import pull as pull_project

    workshop = Workshop.open(progress(quiet=arguments.quiet))
    pulled = pull_project(
        find_project(Path.cwd()),
        workshop,
        arguments.place,
        argv=sys.argv[1:],
        number=_wanted_number(arguments, workshop),
        force=arguments.force,
        consent=ask,
    )
    return _show_pulled(pulled, arguments)


def _wanted_number(arguments: argparse.Namespace, workshop: Workshop) -> int | None:
    """The generation of the place that is asked for, by number or by an instance's name; None: the newest."""
    if arguments.instance is None:
        return _number(arguments.generation)
    from cape.operations.instances import generation_of
    from cape.operations.sharing import known_place

    known = known_place(find_project(Path.cwd()))
    place = arguments.place or (known.place if known else None)
    if place is None or arguments.generation is not None:
        raise NoPlace(
            "an instance is one of a place", hint="`cape pull PLACE --instance NAME`, without a number"
        )
    return generation_of(place, workshop, arguments.instance, consent=ask)


def fork(arguments: argparse.Namespace) -> int:
    """`cape fork PLACE [DIR]`."""
    from cape.operations.sharing import fork as fork_project

    directory = Path(arguments.into or Path.cwd())
    pulled = fork_project(
        directory,
        Workshop.open(progress(quiet=arguments.quiet)),
        arguments.place,
        argv=sys.argv[1:],
        consent=ask,
    )
    return _show_pulled(pulled, arguments)


def _show_pulled(pulled: Pulled, arguments: argparse.Namespace) -> int:
    record = pulled.entry.record
    if arguments.json:
        more = {
            "place": pulled.place,
            "changes": list(pulled.lines),
            "from_place": pulled.from_place,
            "knowledge": list(pulled.knowledge),
            "generation_here": pulled.synced.generation,
            "identity": str(pulled.synced.identity),
            "content": str(pulled.synced.content),
            "kept_aside": [str(path) for path in pulled.kept_aside],
        }
        show_json(_record_fields(pulled.entry) | more)
        return 0
    for line in pulled.lines:
        say(f"  {line}", quiet=arguments.quiet)
    for name in pulled.knowledge:
        say(f"the index of `{name}` came along", quiet=arguments.quiet)
    for path in pulled.kept_aside:
        say(f"what you had is kept in `{path.name}`")
    say(
        f"generation {record.number} of {pulled.place} ({record.pushed_by}, {record.pushed_at}) is now "
        f"generation {pulled.synced.generation} here: {count(pulled.synced.packages, 'package')}",
        quiet=arguments.quiet,
    )
    return 0


def log(arguments: argparse.Namespace) -> int:
    """`cape log [PLACE]`."""
    from cape.operations.sharing import known_place, open_ledger

    place = arguments.place
    if place is None:
        known = known_place(find_project(Path.cwd()))
        if known is None:
            raise NoPlace("this project knows no place yet", hint="name one: `cape log DIRECTORY`")
        place = known.place
    ledger = open_ledger(place, Workshop.open(), consent=ask)
    entries = ledger.log(limit=_number(arguments.limit))
    if arguments.json:
        show_json({"place": ledger.place.shown, "generations": [_record_fields(entry) for entry in entries]})
        return 0
    ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
    rows = [_row(entry, ahead) for entry in entries]
    print(table(rows, right=(0,)) if rows else "nothing was pushed to this place yet")
    return 0


def _row(entry: Entry, ahead: str) -> tuple[str, ...]:
    record = entry.record
    notes = [record.message] if record.message else []
    if record.forced_over:
        notes.append(f"forced over {record.forced_over.short}")
    if record.pushed_at > ahead:
        notes.append("by a clock that is ahead of this machine's")
    return (
        str(record.number),
        record.pushed_at,
        record.pushed_by,
        f"{entry.key.name} {entry.key.fingerprint[:12]}",
        record.command,
        "; ".join(notes),
    )


def _record_fields(entry: Entry) -> dict[str, object]:
    record = entry.record
    return {
        "number": record.number,
        "digest": str(entry.digest),
        "parent": record.parent and str(record.parent),
        "pushed_by": record.pushed_by,
        "pushed_at": record.pushed_at,
        "command": record.command,
        "message": record.message,
        "key": {"name": entry.key.name, "fingerprint": entry.key.fingerprint},
        "files": {path: str(digest) for path, digest in record.files.items()},
        "artifacts": len(record.carried),
        "knowledge": sorted(record.knowledge),
        "forced_over": record.forced_over and str(record.forced_over),
    }


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"a generation is a number from 1 on, not `{text}`")
    return int(text)


def ask(key: PublicKey, record: Record) -> bool:
    """Ask at the terminal whether to trust a key; without one, no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(
        f"generation {record.number}, pushed by {record.pushed_by} at {record.pushed_at}, is signed by a key "
        f"that is new to you:\n  {paint(key.fingerprint, '1', sys.stderr)}  ({key.name})\n"
        "Compare it with its owner (`cape key list` shows it there).",
        file=sys.stderr,
    )
    print("Trust this key? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def key_new(arguments: argparse.Namespace) -> int:
    """`cape key new [NAME]`."""
    from cape.sharing.keys import DEFAULT_KEY, KeyRing

    signer = KeyRing().make(arguments.name or DEFAULT_KEY)
    if arguments.json:
        show_json(_key_fields(signer.public))
        return 0
    say(f"made the key `{signer.public.name}`, {signer.public.fingerprint}", quiet=arguments.quiet)
    print(signer.public.text)
    return 0


def key_list(arguments: argparse.Namespace) -> int:
    """`cape key list`."""
    from cape.sharing.keys import KeyRing, Trust

    ring = KeyRing()
    own = [ring.get(name).public for name in ring.names()]
    judged = Trust().all()
    if arguments.json:
        others = [
            _key_fields(one.public) | {"since": one.since, "place": one.place, "revoked": one.revoked}
            for one in judged
        ]
        show_json({"own": [_key_fields(key) for key in own], "judged": others})
        return 0
    rows = [("own", key.name, key.fingerprint, "") for key in own]
    rows += [
        (
            "revoked" if one.revoked else "trusted",
            one.public.name,
            one.public.fingerprint,
            one.revoked or f"since {one.since}" + (f" for {one.place}" if one.place else ""),
        )
        for one in judged
    ]
    print(table(rows) if rows else "no keys: `cape key new` makes one")
    return 0


def key_export(arguments: argparse.Namespace) -> int:
    """`cape key export [NAME]`: the public part, for others."""
    from cape.sharing.keys import KeyRing

    print(KeyRing().get(arguments.name).public.text)
    return 0


def key_trust(arguments: argparse.Namespace) -> int:
    """`cape key trust KEY`."""
    from cape.sharing.keys import PublicKey, Trust

    key = PublicKey.parse(arguments.key)
    Trust().trust(key, place="", since=time.strftime("%Y-%m-%d", time.gmtime()))
    say(f"what `{key.name}` ({key.fingerprint}) signs is trusted from now on", quiet=arguments.quiet)
    return 0


def key_revoke(arguments: argparse.Namespace) -> int:
    """`cape key revoke KEY [PLACE]`: here, and at a place for everybody."""
    from cape.operations.sharing import revoke

    key, since = revoke(
        arguments.key, arguments.place, Workshop.open(), reason=arguments.reason or "", signed_by=arguments.by
    )
    where = f", and at {arguments.place} from generation {since} on" if since else ""
    say(
        f"what `{key.name}` ({key.fingerprint}) signs is refused from now on here{where}",
        quiet=arguments.quiet,
    )
    return 0


def key_remove(arguments: argparse.Namespace) -> int:
    """`cape key remove NAME`: an own key, for ever; or what was judged of another's."""
    from cape.sharing.errors import KeyUnknown
    from cape.sharing.keys import KeyRing, Trust

    ring = KeyRing()
    if arguments.name in ring.names():
        ring.remove(arguments.name)
        say(f"removed your key `{arguments.name}`", quiet=arguments.quiet)
        return 0
    if not Trust().forget(arguments.name):
        raise KeyUnknown(
            f"no key has the name or fingerprint `{arguments.name}`", hint="`cape key list` lists all"
        )
    say(f"forgot what you judged of {arguments.name}", quiet=arguments.quiet)
    return 0


def _key_fields(key: PublicKey) -> dict[str, object]:
    return {"name": key.name, "fingerprint": key.fingerprint, "key": key.text}
