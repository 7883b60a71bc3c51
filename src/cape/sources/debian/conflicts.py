"""Resolution by libsolv: for requirements that the plain walk gets stuck at, and to say why they conflict.

Owns the translation of packages to libsolv and of its proofs to sentences. What a relation means is
decided by `package`: libsolv as Python gets it knows neither Debian's order of versions nor its rule that
a name provided without a version answers no versioned relation. So each relation becomes a name of its
own, provided by exactly the packages that answer it, and versions become ranks. Only what can be reached
from the wanted packages is translated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cape.sources.debian.package import DebianPackage, Group, Relation, group_text
from cape.sources.debian.pool import Pool

if TYPE_CHECKING:
    from cape.sources.debian.resolve import Wanted


class Unsolvable(Exception):
    """No set of packages satisfies all that is wanted. Never leaves this source.

    `chain` has a sentence for each step of the proof, `involved` those of the wanted that take part.
    """

    def __init__(self, chain: Sequence[str], involved: Sequence[Wanted]) -> None:
        super().__init__("; ".join(chain))
        self.chain = tuple(chain)
        self.involved = tuple(involved)


def solve(pool: Pool, wanted: Sequence[Wanted]) -> list[DebianPackage]:
    """A consistent set of packages for all that is wanted, near to what the walk would choose.

    Raises `Unsolvable`.
    """
    return _Translation(pool, wanted).solve()


class _Translation:
    """The reachable packages in a libsolv pool."""

    def __init__(self, pool: Pool, wanted: Sequence[Wanted]) -> None:
        import solv

        self._solv = solv
        self._pool = pool
        self._wanted = tuple(wanted)
        self._solver_pool = solv.Pool()
        self._solver_pool.setarch()
        self._repo = self._solver_pool.add_repo("debian")
        self._solvables: dict[DebianPackage, Any] = {}
        self._packages: dict[int, DebianPackage] = {}
        self._answering: dict[str, list[DebianPackage]] = {}
        self._refusals: dict[str, None] = {}
        self._preferred: dict[DebianPackage, None] = {}
        self._reach()
        self._add_relations()
        self._solver_pool.createwhatprovides()

    def _reach(self) -> None:
        """Add the wanted packages, and everything that any of their dependencies may lead to."""
        todo = [package for one in self._wanted for package in one.packages]
        while todo:
            package = todo.pop()
            if package in self._solvables:
                continue
            solvable = self._add(package)
            for group in package.depends:
                text = group_text(group)
                solvable.add_requires(self._solver_pool.Dep(text))
                if text not in self._answering:
                    todo += self._find_answers(group, text)

    def _add(self, package: DebianPackage) -> Any:
        solvable = self._repo.add_solvable()
        solvable.name = f"package {package.name}"
        versions = self._pool.versions(package.name)
        solvable.evr = str(len(versions) - versions.index(package))
        solvable.arch = "noarch"
        solvable.add_provides(
            self._solver_pool.Dep(solvable.name).Rel(self._solv.REL_EQ, self._solver_pool.Dep(solvable.evr))
        )
        self._solvables[package] = solvable
        self._packages[solvable.id] = package
        return solvable

    def _find_answers(self, group: Group, text: str) -> list[DebianPackage]:
        """Remember who answers a group; libsolv hears of it when all packages are there."""
        answering = list(_all_answering(self._pool, group))
        self._answering[text] = answering
        if answering:
            self._preferred[answering[0]] = None
        return answering

    def _add_relations(self) -> None:
        """Say who answers each group, and what each package cannot be with."""
        for text, answering in self._answering.items():
            for package in answering:
                self._solvables[package].add_provides(self._solver_pool.Dep(text))
        by_name: dict[str, list[DebianPackage]] = {}
        for package in self._solvables:
            for name in {package.name, *package.provides}:
                by_name.setdefault(name, []).append(package)
        for package, solvable in self._solvables.items():
            for relation in package.negatives:
                self._refuse(solvable, relation, by_name.get(relation.name, ()))

    def _refuse(self, solvable: Any, relation: Relation, candidates: Sequence[DebianPackage]) -> None:
        text = f"!{relation}"
        if text not in self._refusals:
            self._refusals[text] = None
            for package in candidates:
                if package.answers(relation, self._pool.architecture):
                    self._solvables[package].add_provides(self._solver_pool.Dep(text))
        solvable.add_conflicts(self._solver_pool.Dep(text))

    def solve(self) -> list[DebianPackage]:
        solv = self._solv
        jobs = [self._job(one) for one in self._wanted]
        favour = solv.Job.SOLVER_SOLVABLE | solv.Job.SOLVER_FAVOR
        jobs += [self._solver_pool.Job(favour, self._solvables[package].id) for package in self._preferred]
        solver = self._solver_pool.Solver()
        solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 1)
        problems = solver.solve(jobs)
        if problems:
            raise self._explanation(problems[0])
        return [self._packages[solvable.id] for solvable in solver.transaction().newsolvables()]

    def _job(self, one: Wanted) -> Any:
        """Install one of the packages that are wanted, whichever."""
        solv = self._solv
        ids = [self._solvables[package].id for package in one.packages]
        what = self._solver_pool.towhatprovides(ids)
        return self._solver_pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE_ONE_OF, what)

    def _explanation(self, problem: Any) -> Unsolvable:
        """The proof in words: what is wanted first, then what that needs, then what cannot be."""
        infos = [info for rule in problem.findallproblemrules() for info in rule.allinfos()]
        subjects = {
            self._packages.get(solvable.id)
            for info in infos
            for solvable in (info.solvable, info.othersolvable)
            if solvable is not None
        }
        involved = [one for one in self._wanted if not subjects.isdisjoint(one.packages)]
        asked = {package for one in involved for package in one.packages}
        steps: dict[str, tuple[bool, bool]] = {}
        for info in infos:
            if sentence := self._sentence(info):
                is_need = info.type == self._solv.Solver.SOLVER_RULE_PKG_REQUIRES
                steps.setdefault(sentence, (not is_need, self._packages.get(info.solvable.id) not in asked))
        return Unsolvable(sorted(steps, key=lambda sentence: (steps[sentence], sentence)), involved)

    def _sentence(self, info: Any) -> str | None:
        """One step of a proof in words; None for steps that say nothing to people."""
        solver = self._solv.Solver
        if info.type == solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
            return f"{self._shown(info.solvable)} needs `{info.dep}`, which no package answers"
        if info.type == solver.SOLVER_RULE_PKG_REQUIRES:
            return f"{self._shown(info.solvable)} needs `{info.dep}`"
        if info.type == solver.SOLVER_RULE_PKG_SAME_NAME:
            return f"{self._shown(info.solvable)} cannot be with {self._shown(info.othersolvable)}"
        if info.type == solver.SOLVER_RULE_PKG_CONFLICTS:
            refused, other = str(info.dep).removeprefix("!"), self._packages[info.othersolvable.id]
            means = f"`{refused}`, which is " if refused != other.name else ""
            return f"{self._shown(info.solvable)} cannot be with {means}{self._shown(info.othersolvable)}"
        return None

    def _shown(self, solvable: Any) -> str:
        package = self._packages[solvable.id]
        return f"`{package.name}` {package.version}"


def _all_answering(pool: Pool, group: Group) -> Iterator[DebianPackage]:
    seen: set[DebianPackage] = set()
    for relation in group:
        for package in pool.all_answering(relation):
            if package not in seen:
                seen.add(package)
                yield package
