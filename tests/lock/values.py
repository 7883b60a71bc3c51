"""Locks for property tests, drawn freely, in the form that locking gives them."""

from __future__ import annotations

from hypothesis import strategies as st

from cape.lock import Lock
from cape.manifest import Expose
from cape.names import Digest, System
from cape.sources.protocol import Artifact, LockedPackage, Requirement, Snapshot

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
names = st.from_regex(r"[a-z][a-z0-9.+-]{0,6}", fullmatch=True)
digests = st.binary(max_size=4).map(Digest.of)
some_systems = st.lists(st.sampled_from(list(System)), min_size=1, max_size=4, unique=True).map(
    lambda systems: tuple(sorted(systems))
)
tables = st.dictionaries(names, texts, max_size=2)
source_names = st.sampled_from(["debian", "model", "npm", "pypi"])
locations = st.builds(lambda parts: "/".join(parts), st.lists(names, min_size=1, max_size=3))

packages = st.builds(
    LockedPackage,
    source=source_names,
    name=names,
    version=texts,
    systems=some_systems,
    artifact=st.builds(
        Artifact, digest=digests, size_bytes=st.integers(0, 10**12), registry=names, location=locations
    ),
    dependencies=st.just(()),
    placement=st.just("") | locations,
    attributes=tables,
)
requirements = st.builds(
    Requirement,
    source=source_names,
    name=texts,
    package=texts,
    constraint=texts,
    systems=st.just(()) | some_systems,
    options=tables.filter(lambda table: "implicit" not in table) | st.just({"implicit": "pypi"}),
)
snapshots = st.builds(Snapshot, source=source_names, registry=names, name=names, date=texts, digest=digests)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    """A lock whose names hang together: dependencies and roots are rows of their source."""
    from dataclasses import replace

    wanted = draw(st.lists(requirements, max_size=4, unique_by=lambda each: each.name))
    known = {each.source for each in wanted}
    rows = draw(
        st.lists(packages, max_size=6, unique_by=lambda each: (each.source, each.name, each.placement))
    )
    rows = [row for row in rows if row.source in known]
    by_source = {source: [row.name for row in rows if row.source == source] for source in known}
    some = {
        source: st.lists(st.sampled_from(found), unique=True).map(lambda them: tuple(sorted(them)))
        if found
        else st.just(())
        for source, found in by_source.items()
    }
    rows = [replace(row, dependencies=draw(some[row.source])) for row in rows]
    return Lock(
        requirements=tuple(wanted),
        systems=draw(some_systems),
        suite=draw(st.none() | names),
        snapshots=tuple(
            draw(
                st.lists(
                    snapshots, max_size=2, unique_by=lambda each: (each.source, each.registry, each.name)
                )
            )
        ),
        packages=tuple(rows),
        roots={each.name: draw(some[each.source]) for each in wanted},
        expose=Expose(
            add=tuple(draw(st.lists(names, max_size=2, unique=True))),
            hide=tuple(draw(st.lists(names, max_size=2, unique=True))),
        ),
    )
