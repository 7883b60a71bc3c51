"""`cape services template`: lines for a service that many projects have, put into the manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cape.errors import InputError
from cape.manifest import add_requirements, parse_manifest, read_manifest, set_value
from cape.names import nearest, write_atomically
from cape.operations.project import Project, held, project_files
from cape.services.templates import summary_of, template_names, template_text

_HEAD = 'schema = 1\n[environment]\nname = "template"\nsystems = ["x86_64-linux"]\n'


class UnknownTemplate(InputError):
    """A template of a service that cape does not have."""

    slug = "unknown-template"


class ServiceTaken(InputError):
    """A template's service, when the manifest has one of that name already."""

    slug = "service-taken"


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedTemplate:
    """What a template brought: the packages and services that it names, and the manifest with them."""

    name: str
    packages: tuple[str, ...]
    services: tuple[str, ...]
    text: str


def known_templates() -> tuple[tuple[str, str], ...]:
    """Each template's name, and what it is."""
    return tuple((name, summary_of(template_text(name))) for name in template_names())


def add_template(project: Project, name: str, *, dry_run: bool = False) -> AddedTemplate:
    """Add a template's packages, variables and services to the manifest; what is there already stays.

    Nothing is locked or made: the next command does. Raises `UnknownTemplate`, `ServiceTaken`, and what
    reading the manifest raises.
    """
    if name not in template_names():
        close = nearest(name, template_names())
        listed = ", ".join(f"`{one}`" for one in template_names())
        hint = f"did you mean `{close[0]}`?" if close else f"there are {listed}"
        raise UnknownTemplate(f"there is no template `{name}`", hint=hint)
    with held(project), project_files(project.directory):
        manifest = read_manifest(project.manifest_path)
        piece = template_text(name)
        template = parse_manifest(_HEAD + piece, path=project.manifest_path)
        for service in template.services:
            if service in manifest.services:
                raise ServiceTaken(
                    f"the manifest has a service `{service}` already",
                    where=manifest.origins.get(f"services.{service}"),
                    hint="give that one another name, or change it by hand",
                )
        text = add_requirements(manifest.text, template.requirements)
        for variable, value in template.vars.items():
            if variable not in manifest.vars:
                text = set_value(text, ("vars", variable), value)
        text = text.rstrip("\n") + "\n\n" + _services_of(piece)
        parse_manifest(text, path=project.manifest_path)
        if not dry_run:
            write_atomically(project.manifest_path, text.encode())
    return AddedTemplate(
        name=name,
        packages=tuple(one.name for one in template.requirements),
        services=tuple(template.services),
        text=text,
    )


def _services_of(piece: str) -> str:
    """The services of a template as they are written, with the comment above them."""
    found = re.search(r"^(?:#.*\n)*\[services\.", piece, flags=re.MULTILINE)
    assert found is not None, "a template has a service"
    return piece[found.start() :]
