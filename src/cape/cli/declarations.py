"""Every command of cape, declared once: help, parser, completions and the reference page come from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """One argument of a command.

    `flags` are its spellings (`--json`), or for a positional its one name. `value` is the word for what
    a flag takes; None for a switch. `nargs` is argparse's. `complete` says what a shell offers:
    `package`, `directory`, `file`, `setting` or a tuple of words. One that may be given several times is
    `many`, and its value a list.
    """

    flags: tuple[str, ...]
    help: str
    value: str | None = None
    nargs: str | None = None
    default: str | None = None
    many: bool = False
    complete: str | tuple[str, ...] | None = None

    @property
    def is_positional(self) -> bool:
        return not self.flags[0].startswith("-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One command: its name, a line of help, its arguments, and the handler (`module:function`).

    A name of two words (`index status`) is a verb of its first word, which may be a command itself.
    """

    name: str
    summary: str
    description: str
    handler: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """An environment variable that is no setting: one that cape sets inside, or one that it obeys."""

    name: str
    meaning: str
    set_inside: bool = False


JSON = Argument(flags=("--json",), help="print JSON for machines")
DRY_RUN = Argument(flags=("--dry-run",), help="say what would change, and change nothing")
FIX = Argument(
    flags=("--fix",),
    help="add the system packages that language packages lack; otherwise a terminal is asked",
)
AS_OF = Argument(
    flags=("--as-of",),
    value="DATE",
    help="answer as the registries were at the end of DATE, or at a time such as `2026-01-15T12:00:00Z`",
)
SYSTEM = Argument(flags=("--system",), value="SYSTEM", help="a system of the lock; otherwise this machine's")
GPU = Argument(
    flags=("--gpu",),
    value="GPU",
    complete=("cuda", "cuda12", "cuda13", "rocm", "rocm6", "metal", "cpu", "none"),
    help="choose variants for such an accelerator; otherwise for this machine's",
)
MODE = Argument(
    flags=("--mode",),
    value="MODE",
    complete=("run", "dev"),
    help="`dev` also leads compilers, manuals and completions to the environment; `run` does not",
)
ENVIRONMENT = Argument(
    flags=("-e", "--environment"),
    value="NAME",
    help="an environment of `[environments]`; otherwise the manifest's own, `default`",
)
GLOBALLY = Argument(
    flags=("--global",), help="work on your own environment, whose programs are there in every directory"
)
EMBEDDER = (
    Argument(flags=("--embedder",), value="NAME", help="the model of `[models]` to embed with"),
    Argument(flags=("--model",), value="FILE", complete="file", help="embed with this ONNX file instead"),
    Argument(flags=("--tokenizer",), value="FILE", complete="file", help="the tokenizer of `--model`"),
    Argument(flags=("--words-only",), help="without vectors"),
)
BASE = Argument(
    flags=("name",), nargs="?", help="a knowledge base of the manifest; the only one, or all, otherwise"
)
PLACE = Argument(
    flags=("place",),
    nargs="?",
    complete="directory",
    help="the place; the one that this project knows otherwise",
)
AT_PLACE = Argument(
    flags=("--place",), value="PLACE", complete="directory", help="the place; the project's otherwise"
)
REMOTE = Argument(
    flags=("-r", "--remote"),
    value="PLACE",
    complete="directory",
    help="the environment of PLACE, without a project here",
)
ALLOW_HOOKS = Argument(
    flags=("--allow-hooks",),
    help="agree to the hooks, variables and services of an environment that came from somebody else",
)
INSTANCE = Argument(flags=("name",), help="the instance")
MESSAGE = Argument(flags=("-m", "--message"), value="TEXT", help="a word about it, for those who look back")
KEY = Argument(flags=("--key",), value="NAME", help="the key to sign with; otherwise the only one")
INSTALLED = Argument(
    flags=("packages",),
    nargs="*",
    complete="package",
    help="packages, as `NAME`, `SOURCE:NAME` or `SOURCE:NAME@CONSTRAINT`",
)
ADOPT = Argument(
    flags=("--adopt",), help="also the Python packages that `pip install` put beside the locked ones"
)

PACKAGES = Argument(
    flags=("packages",),
    nargs="+",
    complete="package",
    help="packages, as `NAME`, `SOURCE:NAME` or `SOURCE:NAME@CONSTRAINT`",
)

SERVICES = Argument(flags=("names",), nargs="*", help="services of the manifest; none: all of them")
NO_WAIT = Argument(flags=("--no-wait",), help="do not wait until they are ready")

GLOBAL: tuple[Argument, ...] = (
    Argument(
        flags=("-C", "--directory"), value="DIR", complete="directory", help="work in DIR instead of here"
    ),
    Argument(flags=("-q", "--quiet"), help="print results and errors only"),
    Argument(flags=("--verbose",), help="also log decisions and steps to stderr"),
    Argument(flags=("--offline",), help="use no network; what is lacking is named at once"),
)

COMMANDS: tuple[Command, ...] = (
    Command(
        name="init",
        summary="start a project: write `cape.toml`",
        description=(
            "Writes a manifest for this directory, and tells git how to merge the lock. What the project "
            "already says of its needs is taken over, and what could not be is named: `pyproject.toml`, "
            "`requirements*.txt`, `environment.yml`, `package.json`, `Aptfile`, `apt.txt`, `.tool-versions`, "
            "`mise.toml`, `devbox.json`, a Flox manifest, a `Dockerfile`."
        ),
        handler="projects:init",
        arguments=(
            Argument(
                flags=("--name",), value="NAME", help="the environment's name; the directory's otherwise"
            ),
            Argument(
                flags=("--debian",), value="SUITE", help="the suite of system packages", default="trixie"
            ),
            Argument(flags=("--bare",), help="take over nothing from other tools' files"),
            Argument(
                flags=("--template",),
                value="NAME",
                complete=("ai", "rag", "serve"),
                help="begin with a ready environment: `ai` (PyTorch, transformers, Jupyter), `rag`, `serve`",
            ),
            DRY_RUN,
            JSON,
        ),
        examples=("cape init", "cape init --dry-run", "cape init --template ai"),
    ),
    Command(
        name="install",
        summary="add packages to the manifest, lock and sync",
        description=(
            "Adds packages to `cape.toml`, locks them and makes a new generation. A bare name is a system "
            "package; `pypi:NAME` and `npm:NAME` come from there."
        ),
        handler="packages:install",
        arguments=(INSTALLED, ADOPT, ENVIRONMENT, GLOBALLY, FIX, AS_OF, DRY_RUN, JSON),
        examples=(
            "cape install ripgrep pypi:pandas 'npm:typescript@^5.6'",
            "cape install --global ripgrep",
            "cape install --adopt",
        ),
    ),
    Command(
        name="uninstall",
        summary="remove packages from the manifest, lock and sync",
        description="Removes packages from `cape.toml`, locks, and makes a new generation: all or none.",
        handler="packages:uninstall",
        arguments=(PACKAGES, ENVIRONMENT, GLOBALLY, DRY_RUN, JSON),
        examples=("cape uninstall ripgrep",),
    ),
    Command(
        name="upgrade",
        summary="let locked packages move to newer versions",
        description=(
            "Locks again with the named packages (all, if none is named) free to move within the manifest's "
            "constraints, and makes a new generation."
        ),
        handler="packages:upgrade",
        arguments=(
            Argument(
                flags=("packages",),
                nargs="*",
                complete="package",
                help="names in the manifest, or of includes from git; none: all of them",
            ),
            GLOBALLY,
            FIX,
            AS_OF,
            DRY_RUN,
            JSON,
        ),
        examples=("cape upgrade", "cape upgrade pandas --dry-run"),
    ),
    Command(
        name="outdated",
        summary="list packages for which there is something newer",
        description=(
            "For each package that the manifest names: the version that is locked, the one that "
            "`cape upgrade` would lock, and the newest that its source has. Where a constraint holds it "
            "back, its line is named."
        ),
        handler="packages:outdated",
        arguments=(JSON,),
        examples=("cape outdated",),
    ),
    Command(
        name="lock",
        summary="write `cape.lock` for every system of the manifest",
        description=(
            "Answers every requirement of the manifest with exact packages, for all its systems. Rows whose "
            "requirement did not change stay as they are; with `--as-of` all of it is locked anew. A first "
            "lock lists what the manifest names, a later one each change."
        ),
        handler="locking:lock",
        arguments=(
            Argument(
                flags=("--check",), help="exit 1 if the lock does not answer the manifest; write nothing"
            ),
            FIX,
            AS_OF,
            DRY_RUN,
            JSON,
        ),
        examples=("cape lock", "cape lock --check", "cape lock --fix", "cape lock --as-of 2026-01-15"),
    ),
    Command(
        name="sync",
        summary="make the environment that the lock says",
        description=(
            "Locks if the manifest changed, brings what is missing, makes the environment of this machine's "
            "system, and switches the project to it. With `--system`, makes the environment of a system of "
            "the lock in the store, prints its path, and leaves the project as it is. What only programs of "
            "another kind of machine can make is left out of it, with notes; `cape gc` removes it."
            " With `--gpu` it is that for another accelerator; with `--dry-run` its packages are listed."
        ),
        handler="locking:sync",
        arguments=(
            Argument(flags=("--locked",), help="fail instead of locking when the lock is out of date"),
            Argument(
                flags=("--from",),
                value="DIR",
                complete="directory",
                help="take artifacts from DIR (written by `cape vendor`) and use no network",
            ),
            Argument(
                flags=("--system",),
                value="SYSTEM",
                complete=("x86_64-linux", "aarch64-linux", "aarch64-darwin", "x86_64-darwin"),
                help="make the environment of SYSTEM beside the project, and print its path",
            ),
            ENVIRONMENT,
            GPU,
            AS_OF,
            DRY_RUN,
            JSON,
        ),
        examples=("cape sync", "cape sync --locked", "cape sync --system aarch64-linux"),
    ),
    Command(
        name="vendor",
        summary="copy every artifact of the lock into a directory",
        description="Writes all artifacts of all systems, so that `cape sync --from DIR` needs nothing else.",
        handler="locking:vendor",
        arguments=(
            Argument(flags=("destination",), complete="directory", help="the directory to write"),
            JSON,
        ),
        examples=("cape vendor vendor",),
    ),
    Command(
        name="push",
        summary="share the environment: add it to a place",
        description=(
            "Signs the manifest and the lock, and adds them to a place as its next generation. A place is a "
            "directory, `git+URL[#BRANCH]`, or `s3://BUCKET/PREFIX`; without one, that of the last push or "
            "pull is meant. What the place has and this project is not made from is never overwritten but by "
            "`--force`, which is recorded."
        ),
        handler="sharing:push",
        arguments=(
            PLACE,
            Argument(flags=("--with-artifacts",), help="also put the artifacts of all systems there"),
            Argument(
                flags=("--with-knowledge",),
                help="also put the indices of all knowledge bases there, with the texts of their documents",
            ),
            MESSAGE,
            KEY,
            Argument(flags=("--force",), help="push over what others pushed meanwhile"),
            JSON,
        ),
        examples=("cape push /srv/environments/handbook", "cape push --with-artifacts -m 'newer Python'"),
    ),
    Command(
        name="pull",
        summary="take the environment of a place",
        description=(
            "Makes manifest and lock of this project those of a place, and syncs. Signatures are checked; a "
            "key that is new to you is asked for once. Local changes are never overwritten but by `--force`, "
            "which keeps them beside as `NAME.mine`."
        ),
        handler="sharing:pull",
        arguments=(
            PLACE,
            Argument(
                flags=("--generation",), value="N", help="a generation of the place; the newest otherwise"
            ),
            Argument(flags=("--instance",), value="NAME", help="the generation that an instance is at"),
            Argument(flags=("--force",), help="take the place's files over changed ones"),
            JSON,
        ),
        examples=("cape pull /srv/environments/handbook", "cape pull"),
    ),
    Command(
        name="fork",
        summary="start a project from a place",
        description="Makes a project in a directory from what a place has, and syncs it.",
        handler="sharing:fork",
        arguments=(
            Argument(flags=("place",), complete="directory", help="the place"),
            Argument(
                flags=("into",), nargs="?", complete="directory", help="the directory; this one otherwise"
            ),
            JSON,
        ),
        examples=("cape fork /srv/environments/handbook handbook",),
    ),
    Command(
        name="log",
        summary="list what was pushed to a place",
        description="Lists a place's generations, newest first: when, by whom, with which key and command.",
        handler="sharing:log",
        arguments=(
            PLACE,
            Argument(flags=("--limit",), value="N", help="the newest N only"),
            JSON,
        ),
        examples=("cape log /srv/environments/handbook",),
    ),
    Command(
        name="instances",
        summary="show which generation of a place is staging, which production",
        description=(
            "Lists the instances of a place: the generation that each is at, since when, by whom, and what "
            "its hosts last reported: healthy, behind, or drifted."
        ),
        handler="instances:instances",
        arguments=(AT_PLACE, JSON),
        examples=("cape instances",),
    ),
    Command(
        name="instances rollback",
        summary="move an instance back to where it was",
        description="Moves an instance to the generation that it was at before. No rule stands in the way.",
        handler="instances:rollback",
        arguments=(INSTANCE, AT_PLACE, MESSAGE, KEY, JSON),
        examples=("cape instances rollback production -m 'answers got worse'",),
    ),
    Command(
        name="instances report",
        summary="tell the place what this host is at",
        description=(
            "Writes this host's generation and health under an instance of the place that the project was "
            "pulled from. The exit code is 1 when something here is not as pulled."
        ),
        handler="instances:report",
        arguments=(INSTANCE, KEY, JSON),
        examples=("cape instances report production",),
    ),
    Command(
        name="promote",
        summary="move an instance to a generation, if its rule holds",
        description=(
            "Moves an instance of a place to the generation of another one, or to one by number. First the "
            "commands of `[promote.NAME]` in the manifest run in this project, which must be at that "
            "generation; if one fails, nothing moves."
        ),
        handler="instances:promote",
        arguments=(
            Argument(flags=("source",), help="an instance, or the number of a generation of the place"),
            Argument(flags=("target",), help="the instance to move; a new name makes a new one"),
            AT_PLACE,
            MESSAGE,
            KEY,
            Argument(
                flags=("--allow-hooks",), help="agree to the commands of a rule that came from somebody else"
            ),
            JSON,
        ),
        examples=("cape promote 3 staging", "cape promote staging production"),
    ),
    Command(
        name="build",
        summary="build the project's own packages",
        description=(
            "Runs the commands of `[build.NAME]` in the locked environment, in a sandbox without network "
            "that holds only files which git tracks. The result is an archive in the store; in `[packages]` "
            '`NAME = { build = "*" }` installs it. What was built from the same inputs is not built again.'
        ),
        handler="building:build",
        arguments=(
            Argument(flags=("builds",), nargs="*", help="builds of the manifest; all otherwise"),
            Argument(flags=("--check",), help="build twice, and fail if the results differ"),
            Argument(flags=("--no-sandbox",), help="build with this machine's files and network in sight"),
            JSON,
        ),
        examples=("cape build", "cape build --check mytool"),
    ),
    Command(
        name="publish",
        summary="write a built package into a directory",
        description=(
            "Writes the archive of a build, named by its digest, and a record of what it was made from. "
            "Files that git has not committed are an error. `cape config artifacts DIR` lets others use it."
        ),
        handler="building:publish",
        arguments=(
            Argument(flags=("build",), help="a build of the manifest"),
            Argument(flags=("into",), complete="directory", help="the directory to write into"),
            JSON,
        ),
        examples=("cape publish mytool /srv/artifacts",),
    ),
    Command(
        name="pack",
        summary="write the environment as one file that runs anywhere",
        description=(
            "Writes one self-extracting file for Linux machines that have no cape, no Python and no network. "
            "It unpacks itself once, to a cache of whoever starts it, and runs the command with its "
            "arguments; without a command it starts a shell inside, or the command that it is given."
        ),
        handler="packing:pack",
        arguments=(
            Argument(
                flags=("-o", "--output"),
                value="FILE",
                complete="file",
                help="the file to write; otherwise `NAME-SYSTEM.pack`",
            ),
            Argument(
                flags=("--static",),
                help="begin with a program instead of shell text: needs no shell on the machine",
            ),
            SYSTEM,
            ENVIRONMENT,
            GPU,
            JSON,
            Argument(flags=("command",), nargs="...", help="the command that the file runs, after `--`"),
        ),
        examples=("cape pack -- python3 -m app", "cape pack -o tools --system aarch64-linux"),
    ),
    Command(
        name="image",
        summary="write the environment as a container image, without a daemon",
        description=(
            "Writes an OCI image layout with a layer per source of packages, equal to the byte from every "
            "store. Its entry point activates and runs the command, or what it is given; `podman pull` and "
            "`skopeo copy` take it as `oci:DIR`."
        ),
        handler="packing:image",
        arguments=(
            Argument(
                flags=("-o", "--output"),
                value="PATH",
                complete="file",
                help="a directory, or a file that ends in `.tar`; otherwise `NAME-SYSTEM.oci`",
            ),
            SYSTEM,
            ENVIRONMENT,
            GPU,
            JSON,
            Argument(flags=("command",), nargs="...", help="the command that the image runs, after `--`"),
        ),
        examples=("cape image -- python3 -m app", "cape image -o app.tar"),
    ),
    Command(
        name="k8s",
        summary="print a Kubernetes manifest that uses the image",
        description=(
            "Prints a deployment for each service, with its ports, and its readiness as probes; without any, "
            "a job that runs the command. Plain variables become a config map; secrets are never written."
        ),
        handler="packing:k8s",
        arguments=(
            Argument(flags=("image",), help="the image's name in a registry, with a tag or a digest"),
            ENVIRONMENT,
            Argument(flags=("command",), nargs="...", help="the job's command, after `--`"),
        ),
        examples=("cape k8s registry.example/app:1",),
    ),
    Command(
        name="submit",
        summary="run a command in the locked environment on other machines",
        description=(
            "Packs the environment, sends it with the files that git tracks to a Ray cluster, runs the "
            "command there, shows what it prints, and brings what it left in `outputs/`. Ends with its exit "
            "code. A machine that is lost is replaced by another; an interrupt cancels what runs. `--on k8s` "
            "prints the manifest of a job instead."
        ),
        handler="submitting:submit",
        arguments=(
            Argument(
                flags=("--on",),
                value="WHERE",
                default="ray://127.0.0.1:10001",
                help="`ray://HOST:PORT`, the client server of a Ray cluster, or `k8s`",
            ),
            Argument(
                flags=("-n", "--tasks"),
                value="N",
                help="run it N times, each with its number in `$CAPE_TASK`, from 0; otherwise once",
            ),
            Argument(flags=("--cpus",), value="N", help="CPUs that one task takes; otherwise 1"),
            Argument(flags=("--gpus",), value="N", help="GPUs that one task takes; otherwise none"),
            Argument(
                flags=("--retries",),
                value="N",
                help="how often a task is started again when its machine is lost; otherwise 3",
            ),
            Argument(
                flags=("-o", "--outputs"),
                value="DIR",
                help="the directory whose files come back; otherwise `outputs`",
            ),
            Argument(
                flags=("--pass",),
                value="NAME",
                many=True,
                help="send the value of this variable too",
            ),
            Argument(
                flags=("--limit",), value="MB", help="the most that the files may be; otherwise 100 megabytes"
            ),
            Argument(
                flags=("--ray",),
                value="VERSION",
                help="the cluster's Ray; otherwise the lock's, or the newest",
            ),
            SYSTEM,
            ENVIRONMENT,
            GPU,
            Argument(flags=("--image",), value="IMAGE", help="with `k8s`: the image's name in a registry"),
            Argument(
                flags=("--claim",),
                value="NAME",
                help="with `k8s`: the volume claim that keeps results",
            ),
            Argument(
                flags=("--apply",),
                help="with `k8s`: give it to `kubectl`, and follow what it prints",
            ),
            DRY_RUN,
            JSON,
            Argument(flags=("command",), nargs="...", help="the command, after `--`"),
        ),
        examples=(
            "cape submit --on ray://head:10001 -- python3 train.py",
            "cape submit --on ray://head:10001 -n 8 -- python3 sweep.py",
            "cape submit --on k8s --image registry.example/app:1 -- python3 train.py",
        ),
    ),
    Command(
        name="services up",
        summary="start background processes and wait until they are ready",
        description=(
            "Starts services of `[services]`, after those that they depend on, and waits until they are. "
            "One supervisor per environment runs them, whichever shell asked; what runs already is left "
            "alone, unless its definition changed. All services, if none is named."
        ),
        handler="services:up",
        arguments=(SERVICES, NO_WAIT, ENVIRONMENT, JSON),
        examples=("cape services up", "cape services up db"),
    ),
    Command(
        name="services down",
        summary="stop background processes",
        description=(
            "Stops services, each before those that it depends on: its signal, and after its grace SIGKILL. "
            "All and their supervisor, if none is named."
        ),
        handler="services:down",
        arguments=(SERVICES, ENVIRONMENT, JSON),
        examples=("cape services down",),
    ),
    Command(
        name="services restart",
        summary="stop background processes and start them as the manifest says now",
        description="Stops services and starts them from the current generation. All, if none is named.",
        handler="services:restart",
        arguments=(SERVICES, NO_WAIT, ENVIRONMENT, JSON),
        examples=("cape services restart web",),
    ),
    Command(
        name="services status",
        summary="show the state, ports and generation of background processes",
        description=(
            "For each service: its state and the reason for it, its process, its ports, the generation that "
            "it was started from, and since when. What a killed supervisor left is ended first."
        ),
        handler="services:status",
        arguments=(SERVICES, ENVIRONMENT, JSON),
        examples=("cape services status --json",),
    ),
    Command(
        name="services logs",
        summary="print what background processes said",
        description=(
            "Prints the logs of services, as they wrote them. With `--follow` goes on as they write, also "
            "for services that are not started yet; `--json` then prints one object a line."
        ),
        handler="services:logs",
        arguments=(
            SERVICES,
            Argument(flags=("--follow",), help="go on printing what comes, until Ctrl-C"),
            Argument(
                flags=("-n", "--lines"),
                value="N",
                help="the last N lines of each; otherwise all that are kept, or 10 with `--follow`",
            ),
            Argument(flags=("--times",), help="when each line came, in front of it"),
            ENVIRONMENT,
            JSON,
        ),
        examples=("cape services logs db -n 20", "cape services logs --follow"),
    ),
    Command(
        name="services template",
        summary="add a service that many projects have to the manifest",
        description=(
            "Adds the packages, variables and services of a template to `cape.toml`, with comments; "
            "`cape services up` then installs and starts it. Without a name, lists the templates."
        ),
        handler="services:template",
        arguments=(Argument(flags=("name",), nargs="?", help="a template; none: list them"), DRY_RUN, JSON),
        examples=("cape services template", "cape services template postgresql"),
    ),
    Command(
        name="services systemd",
        summary="print units that let systemd run the services for a user",
        description=(
            "Prints a unit of systemd's user manager for each service, for services that are to start with "
            "the machine. With `--write` writes them, `~/.config/systemd/user` being where systemd looks."
        ),
        handler="services:systemd",
        arguments=(
            SERVICES,
            Argument(
                flags=("--write",), value="DIR", complete="directory", help="write them into DIR instead"
            ),
            ENVIRONMENT,
            JSON,
        ),
        examples=("cape services systemd --write ~/.config/systemd/user",),
    ),
    Command(
        name="ci",
        summary="make the locked environment, and fail on drift",
        description=(
            "What a job of continuous integration runs first: `cape sync --locked`, then a comparison of "
            "this project's lock with those of the place's instances. With `--check` nothing is made. The "
            "exit code is 1 where anything differs."
        ),
        handler="ci:ci",
        arguments=(
            Argument(flags=("instances",), nargs="*", help="instances to compare with; all otherwise"),
            Argument(flags=("--check",), help="only compare"),
            AT_PLACE,
            JSON,
        ),
        examples=("cape ci", "cape ci --check production"),
    ),
    Command(
        name="fit",
        summary="say whether a model fits into memory, before it is downloaded",
        description=(
            "Sums what a model takes when it runs, from headers alone: weights, cache, compute, run time; "
            "with `--train` gradients, moments and activations. The model is a GGUF, safetensors or ONNX "
            "file, a directory, a `config.json`, a name of `[models]`, or `org/name` of a hub, of which only "
            "headers are read. Compares it with this machine's GPUs and memory, or with `--gpu` and "
            "`--memory`, and says the largest context and batch that fit, and what else would. Ends with 1 "
            "where it does not fit with a tenth of head-room."
        ),
        handler="fitting:fit",
        arguments=(
            Argument(flags=("model",), complete="file", help="a file, a directory, or a name"),
            Argument(
                flags=("--context",),
                value="N",
                help="tokens of one sequence; otherwise 4096, 512 where it is trained, 256 for a graph",
            ),
            Argument(flags=("--batch",), value="N", help="sequences at once; 1 otherwise"),
            Argument(
                flags=("--dtype",),
                value="TYPE",
                complete=("float32", "bfloat16", "float16", "int8", "int4", "q8_0", "q4_k_m"),
                help="the type of weights that are no GGUF; as they are stored otherwise",
            ),
            Argument(
                flags=("--kv-dtype",),
                value="TYPE",
                complete=("f32", "f16", "bf16", "q8_0", "q4_0"),
                help="the type of llama.cpp's cache; `f16` otherwise",
            ),
            Argument(
                flags=("--train",),
                value="WHAT",
                complete=("lora", "full"),
                help="train it with Adam: whole, or LoRA's adapters",
            ),
            Argument(flags=("--rank",), value="R", help="the adapters' rank; 8 otherwise"),
            Argument(flags=("--master-copy",), help="training keeps weights and moments in 32 bits, too"),
            Argument(flags=("--embedder",), value="MODEL", help="an embedder that is loaded beside it"),
            Argument(flags=("--chunks",), value="N", help="an index of so many chunks beside it"),
            Argument(
                flags=("--gpu",),
                value="WHAT",
                complete=("auto", "none", "24GiB", "2x24GiB"),
                help="`none`, or another machine's GPUs such as `2x24GiB`; this machine's otherwise",
            ),
            Argument(
                flags=("--memory",), value="SIZE", help="a size such as `8GiB`, instead of what is free"
            ),
            Argument(flags=("--picture",), value="FILE", complete="file", help="also draw it, as SVG"),
            JSON,
        ),
        examples=(
            "cape fit writer.gguf --context 8192",
            "cape fit org/name --gpu 24GiB --memory 32GiB",
            "cape fit ./model --train lora --batch 4",
        ),
    ),
    Command(
        name="serve-model",
        summary="serve a locked model behind an interface like OpenAI's",
        description=(
            "Starts a service that answers below `/v1` (chat, completions, models, embeddings), with "
            "`/health` and `/metrics`: a GGUF model by llama.cpp (`xllamacpp`), safetensors by vLLM where "
            "there is a GPU. What it takes is summed first, compared with what is free, and held to. Prints "
            "the address. `cape services` shows, restarts and ends it."
        ),
        handler="serving_models:serve_model",
        arguments=(
            Argument(flags=("model",), help="a model of `[models]`"),
            Argument(flags=("--port",), value="N", help="the port; otherwise a free one, which it keeps"),
            Argument(
                flags=("--context",),
                value="N",
                help="tokens of context of each answer; otherwise 4096, or what the model was trained with",
            ),
            Argument(flags=("--parallel",), value="N", help="how many are answered at once; 1 otherwise"),
            Argument(flags=("--add",), help="add `xllamacpp` to the manifest where it is lacking"),
            GPU,
            ENVIRONMENT,
            DRY_RUN,
            JSON,
        ),
        examples=(
            "cape serve-model writer",
            "cape serve-model writer --context 2048 --parallel 4 --port 8080",
            "cape serve-model large --gpu cuda12 --dry-run",
        ),
    ),
    Command(
        name="gpu",
        summary="say which accelerator packages may use here, and why",
        description=(
            "Looks for a GPU and its driver in files alone: nothing of it is loaded, and no device wakes up. "
            "The answer is kept until boot, driver or devices change. `CAPE_GPU=cpu` (or `cuda12.4`, `rocm`) "
            "counts more than what is there."
        ),
        handler="gpu:gpu",
        arguments=(
            Argument(flags=("--explain",), help="also print everything that was seen, and where"),
            Argument(flags=("--fresh",), help="look again, whatever is remembered"),
            JSON,
        ),
        examples=("cape gpu --explain",),
    ),
    Command(
        name="key new",
        summary="make a key to sign with",
        description="Makes an ed25519 key for you, readable by you alone, and prints its public part.",
        handler="sharing:key_new",
        arguments=(Argument(flags=("name",), nargs="?", help="its name; `default` otherwise"), JSON),
        examples=("cape key new",),
    ),
    Command(
        name="key list",
        summary="list your keys, and those that you trust or revoked",
        description="Lists your own keys and those that you judged, with the fingerprints to compare.",
        handler="sharing:key_list",
        arguments=(JSON,),
        examples=("cape key list",),
    ),
    Command(
        name="key export",
        summary="print the public part of a key",
        description="Prints the line that others give to `cape key trust`.",
        handler="sharing:key_export",
        arguments=(Argument(flags=("name",), nargs="?", help="the key; the only one otherwise"),),
        examples=("cape key export",),
    ),
    Command(
        name="key trust",
        summary="trust a key",
        description="Believes what a key signs from now on.",
        handler="sharing:key_trust",
        arguments=(Argument(flags=("key",), help="the line that `cape key export` printed"),),
        examples=("cape key trust 'ed25519 pZJBZrb8P0rRv0kmvDh0i2c1Wb0YtE2uHDo2Ik2WAxI= anna'",),
    ),
    Command(
        name="key revoke",
        summary="believe nothing more that a key signs",
        description=(
            "Refuses a key here; with a place, a signed word there lets everybody refuse its records from "
            "the next one on."
        ),
        handler="sharing:key_revoke",
        arguments=(
            Argument(flags=("key",), help="a fingerprint, a public key, or the name of an own key"),
            Argument(flags=("place",), nargs="?", complete="directory", help="the place to tell it at"),
            Argument(flags=("--reason",), value="TEXT", help="why, for others"),
            Argument(flags=("--by",), value="NAME", help="the own key that signs it"),
        ),
        examples=("cape key revoke laptop /srv/environments/handbook --reason 'laptop lost'",),
    ),
    Command(
        name="key remove",
        summary="remove an own key, or forget what you judged of another's",
        description="Removes your key of that name for ever, or forgets a fingerprint that you judged.",
        handler="sharing:key_remove",
        arguments=(Argument(flags=("name",), help="the name of an own key, or a fingerprint"),),
        examples=("cape key remove laptop",),
    ),
    Command(
        name="run",
        summary="run one command inside the environment",
        description="Runs a command inside, in place of this process: its exit code and signals are its own.",
        handler="living:run",
        arguments=(
            Argument(
                flags=("--pure",),
                help="every program of the closure and nothing of the machine on PATH; variables that lead "
                "programs to the machine's files are dropped",
            ),
            MODE,
            ENVIRONMENT,
            GPU,
            REMOTE,
            ALLOW_HOOKS,
            Argument(
                flags=("--with",),
                value="PACKAGE",
                many=True,
                complete="package",
                help="have PACKAGE too, for this command alone; may be given several times",
            ),
            Argument(flags=("command",), nargs="...", help="the command, after `--`"),
        ),
        examples=(
            "cape run -- python3 app.py",
            "cape run --pure -- sh",
            "cape run -e test -- pytest",
            "cape run --with ripgrep -- rg TODO",
        ),
    ),
    Command(
        name="activate",
        summary="enter the environment",
        description=(
            "Starts a shell like the one you are in (bash, zsh, fish or sh), inside. In a running shell, "
            '`eval "$(cape activate)"` enters in place, and `cape deactivate` leaves.'
        ),
        handler="living:activate",
        arguments=(
            REMOTE,
            ALLOW_HOOKS,
            Argument(
                flags=("--shell",),
                value="SHELL",
                complete=("bash", "zsh", "fish", "sh"),
                help="print the script for SHELL instead of starting a shell",
            ),
            Argument(
                flags=("-c", "--command"),
                value="TEXT",
                help="run TEXT through the shell, inside, in place of this process",
            ),
            MODE,
            Argument(
                flags=("--pure",),
                help="nothing of the machine on PATH, no start-up files of your own, and no variables that "
                "lead programs to the machine's files",
            ),
            Argument(flags=("--no-services",), help="do not start services that say `auto-start`"),
            ENVIRONMENT,
            GPU,
        ),
        examples=(
            "cape activate",
            'eval "$(cape activate)"',
            "cape activate | source    # fish",
            "cape activate -c 'make && make check'",
        ),
    ),
    Command(
        name="deactivate",
        summary="leave the environment that was entered in place",
        description="A shell function while an environment is active; elsewhere there is nothing to leave.",
        handler="living:deactivate",
    ),
    Command(
        name="hook",
        summary="print what a start-up file evaluates to enter with each directory",
        description=(
            "Prints a prompt hook for SHELL. With it in a start-up file, a shell enters the projects that it "
            "stands in, after consent, and leaves them on the way out; an unchanged prompt starts no process."
        ),
        handler="entering:hook",
        arguments=(
            Argument(flags=("shell",), help="`bash`, `zsh`, `fish` or `sh`"),
            Argument(
                flags=("--at",),
                value="DIR",
                complete="directory",
                help="what the hook itself asks: which projects to be inside at DIR",
            ),
            Argument(
                flags=("--skip",),
                value="DIR",
                many=True,
                complete="directory",
                help="with `--at`: a project to leave alone; may be given several times",
            ),
        ),
        examples=('eval "$(cape hook bash)"', "cape hook fish | source"),
    ),
    Command(
        name="allow",
        summary="let a project activate when its directory is entered",
        description=(
            "Remembers, for what the project's hooks, profiles, variables, services and includes say now, "
            "that the prompt hook may enter it. A change asks again, and shows what changed."
        ),
        handler="entering:allow",
        arguments=(
            Argument(
                flags=("place",),
                nargs="?",
                complete="directory",
                help="the project; the one around here otherwise",
            ),
        ),
        examples=("cape allow", "cape allow ../other"),
    ),
    Command(
        name="deny",
        summary="never activate a project when its directory is entered",
        description=(
            "The prompt hook passes the project over, whatever it says later, until `cape allow`. "
            "`cape activate` and `cape run` work as before."
        ),
        handler="entering:deny",
        arguments=(
            Argument(
                flags=("place",),
                nargs="?",
                complete="directory",
                help="the project; the one around here otherwise",
            ),
        ),
        examples=("cape deny",),
    ),
    Command(
        name="consent list",
        summary="list which projects may activate when they are entered",
        description=(
            "Each project with its answer, and whether that still fits: `current`, `changed` (the next "
            "entering asks again), or `gone`."
        ),
        handler="entering:consent_list",
        arguments=(JSON,),
        examples=("cape consent list",),
    ),
    Command(
        name="consent forget",
        summary="forget an answer, so that the next entering asks again",
        description="Forgets what was answered for a project. Exit code 1: there was no answer.",
        handler="entering:consent_forget",
        arguments=(
            Argument(
                flags=("place",),
                nargs="?",
                complete="directory",
                help="the project's directory; this one otherwise",
            ),
        ),
        examples=("cape consent forget ../other",),
    ),
    Command(
        name="editor",
        summary="lead an editor into the environment",
        description=(
            "Writes interpreter and tool paths into `.vscode/settings.json`, the interpreter's name into "
            "`.idea/misc.xml`, or a kernel into Jupyter's data directory. What the files have besides stays, "
            "comments too. The programs are small scripts in `.cape/editor/bin`, which enter by themselves."
        ),
        handler="editors:editor",
        arguments=(
            Argument(
                flags=("editor",),
                complete=("vscode", "pycharm", "jupyter"),
                help="`vscode`, `pycharm` or `jupyter`",
            ),
            Argument(flags=("--remove",), help="take out what this command wrote"),
            DRY_RUN,
        ),
        examples=("cape editor vscode", "cape editor jupyter --dry-run", "cape editor pycharm --remove"),
    ),
    Command(
        name="list",
        summary="list what is locked for this system",
        description=(
            "The packages that the manifest names, with version, source and the size of what is downloaded; "
            "with `--all`, everything that they need too."
        ),
        handler="packages:list_packages",
        arguments=(
            Argument(flags=("--all",), help="also what the named packages need"),
            Argument(
                flags=("--includes",),
                help="list the included manifests instead, and what of them others go over",
            ),
            ENVIRONMENT,
            GPU,
            GLOBALLY,
            JSON,
        ),
        examples=("cape list", "cape list --all --json"),
    ),
    Command(
        name="show",
        summary="show one package: locked, or of a source",
        description="The locked rows of a package with who needs it, or what a source has of it.",
        handler="packages:show",
        arguments=(
            Argument(flags=("package",), complete="package", help="`NAME` or `SOURCE:NAME`"),
            JSON,
        ),
        examples=("cape show ripgrep",),
    ),
    Command(
        name="search",
        summary="search the sources for packages",
        description=(
            "Searches names and summaries of system packages, and exact names elsewhere. Exit code 1: "
            "nothing was found."
        ),
        handler="packages:search",
        arguments=(
            Argument(flags=("text",), help="what to look for; `SOURCE:TEXT` asks one source"),
            Argument(flags=("--limit",), value="N", default="20", help="how many to list"),
            JSON,
        ),
        examples=("cape search ripgrep", "cape search npm:typescript"),
    ),
    Command(
        name="why",
        summary="say why a package, file or library is there, or where a variable's value comes from",
        description=(
            "The chains of packages from what the manifest names to PACKAGE, shortest first. A file, a "
            "program or a library's name is first traced to the package that it comes from; that wants a "
            "synced project. Of a variable (`$NAME`, or a bare name that no package has) each part of the "
            "value is told with the file and line that set it; values of secrets are not."
        ),
        handler="packages:why",
        arguments=(
            Argument(
                flags=("package",),
                complete="package",
                help="a locked package, a path as programs see it, a program, a library (`libGL.so.1`), or a "
                "variable",
            ),
            ENVIRONMENT,
            JSON,
        ),
        examples=(
            "cape why libpcre2-8-0",
            "cape why libpcre2-8.so.0",
            "cape why /usr/bin/rg",
            "cape why PATH",
        ),
    ),
    Command(
        name="licences",
        summary="list the licence of each package",
        description=(
            "What each locked package states of its licence: Debian's `copyright`, a wheel's metadata, npm's "
            "`package.json`, a model's row. It is read from the environment, so `cape sync` comes first."
        ),
        handler="auditing:licences",
        arguments=(SYSTEM, JSON),
        examples=("cape licences",),
    ),
    Command(
        name="sbom",
        summary="print the bill of materials, as CycloneDX",
        description=(
            "Every locked package of a system with its package url, digest, licence and what needs it, as "
            "CycloneDX 1.6 in JSON. One lock gives the same bytes every time."
        ),
        handler="auditing:sbom",
        arguments=(
            SYSTEM,
            Argument(
                flags=("--output",), value="FILE", complete="file", help="write to FILE instead of stdout"
            ),
        ),
        examples=("cape sbom --output bom.json",),
    ),
    Command(
        name="audit",
        summary="list the known holes of locked packages",
        description=(
            "Holds the lock against records in OSV's format, and names for each hole the version that fixes "
            "it and the line of the manifest that brings the package."
        ),
        handler="auditing:audit",
        arguments=(
            Argument(
                flags=("place",),
                nargs="?",
                complete="directory",
                help="a directory, a zip file or a URL of one; otherwise the setting `advisories`",
            ),
            SYSTEM,
            Argument(
                flags=("--fail",),
                value="SEVERITY",
                default="unknown",
                help="exit 1 for a hole of this severity or worse: `unknown` (any), `low`, `medium`, `high`, "
                "`critical`, or `never`",
            ),
            JSON,
        ),
        examples=("cape audit advisories", "cape audit --fail high"),
    ),
    Command(
        name="history",
        summary="list the generations of this project",
        description=(
            "Every generation that this project has had here, newest first: when, who, the command, and what "
            "it added (`+`), removed (`-`) and changed (`~`). Rollbacks are listed too."
        ),
        handler="projects:history",
        arguments=(GLOBALLY, JSON),
        examples=("cape history",),
    ),
    Command(
        name="rollback",
        summary="go back to an earlier generation",
        description=(
            "Switches to the generation before this one, or to N, with its manifest and lock, and with the "
            "indices that the lock names, where they have kept that generation. Running services that this "
            "changes are restarted; those that the generation has not are stopped."
        ),
        handler="projects:rollback",
        arguments=(
            Argument(flags=("generation",), nargs="?", help="a number from `cape history`"),
            Argument(flags=("--no-services",), help="leave running services as they are"),
            GLOBALLY,
            DRY_RUN,
            JSON,
        ),
        examples=("cape rollback", "cape rollback 3"),
    ),
    Command(
        name="index",
        summary="index the documents of a knowledge base",
        description=(
            "Reads what is new or changed among the documents that `[knowledge.NAME]` names, cuts it into "
            "chunks, and makes a new generation of the index: of NAME, or of every base. A document that "
            "cannot be read is reported and remembered, and the rest goes on; the exit code is still 0. The "
            "lock then says what the index was made from. What was read is kept if the command is stopped."
        ),
        handler="knowledge:index",
        arguments=(
            BASE,
            Argument(flags=("--rebuild",), help="take nothing over from the present index"),
            Argument(
                flags=("--locked",),
                help="fail where the index would differ from the lock, or a document cannot be read",
            ),
            Argument(flags=("--full",), help="read every file again to see whether it changed"),
            DRY_RUN,
            JSON,
        ),
        examples=("cape index", "cape index handbook --locked"),
    ),
    Command(
        name="index status",
        summary="compare an index with its documents, its recipe and the lock",
        description=(
            "Says which documents changed since they were indexed, what of the recipe, the access policy or "
            "the lock differs, what could not be read, and lists the index's generations. Exit code 1: "
            "`cape index` would change something."
        ),
        handler="knowledge:status",
        arguments=(
            BASE,
            Argument(flags=("--full",), help="read every file again to see whether it changed"),
            JSON,
        ),
        examples=("cape index status",),
    ),
    Command(
        name="index diff",
        summary="list the documents that differ between two generations of an index",
        description=(
            "From the generation that the current one was made from, or FROM, to the current one, or TO."
        ),
        handler="knowledge:diff",
        arguments=(
            Argument(
                flags=("words",), nargs="*", help="a knowledge base, then FROM and TO: numbers of generations"
            ),
            JSON,
        ),
        examples=("cape index diff", "cape index diff handbook 3 5"),
    ),
    Command(
        name="index rollback",
        summary="go back to an earlier generation of an index",
        description=(
            "Makes the generation that the current one was made from, or TO, current again; the lock then "
            "says so. The documents stay as they are: the next `cape index` indexes them again."
        ),
        handler="knowledge:rollback",
        arguments=(
            Argument(
                flags=("words",), nargs="*", help="a knowledge base, then TO: the number of a generation"
            ),
            DRY_RUN,
            JSON,
        ),
        examples=("cape index rollback", "cape index rollback handbook 3"),
    ),
    Command(
        name="index verify",
        summary="compute an index's digests, words and vectors again, and compare",
        description=(
            "Checks the database, every chunk, the words and vectors derived from them, and embeds a sample "
            "again. Exit code 3: something is not what it should be."
        ),
        handler="knowledge:verify",
        arguments=(BASE, JSON),
        examples=("cape index verify",),
    ),
    Command(
        name="gc",
        summary="remove what no project needs any more",
        description=(
            "Removes environments, objects and artifacts that no generation of any known project reaches. "
            "Projects that are not there (an absent disk) keep theirs for 30 days. The current generation "
            "stays, and so does what a running process uses."
        ),
        handler="projects:gc",
        arguments=(
            Argument(
                flags=("--keep",),
                value="N",
                help="first forget all but the last N generations of this project",
            ),
            Argument(
                flags=("--older-than",),
                value="AGE",
                help="forget only generations older than AGE, such as `30d`, `12h` or `2 weeks`",
            ),
            GLOBALLY,
            DRY_RUN,
            JSON,
        ),
        examples=("cape gc --dry-run", "cape gc --keep 10 --older-than 30d"),
    ),
    Command(
        name="doctor",
        summary="check this machine, the store and the project",
        description="Says what was checked, what is wrong, and what to do.",
        handler="projects:doctor",
        arguments=(Argument(flags=("--verify",), help="hash every file of the store again"), JSON),
        examples=("cape doctor", "cape doctor --verify"),
    ),
    Command(
        name="ask",
        summary="answer a question from a knowledge base, with where it stands",
        description=(
            "Finds the passages that the question is about, and quotes the sentences, rows or cells that "
            "answer it, each with its document and page, lines or cell. Where nothing that the asker may "
            "see answers, it says so; the exit code is 0 all the same, and JSON has the `verdict`. "
            "Without `--as` it answers from what everyone may see. On a project's own files `--as` is a "
            "preview, not a protection. Without a writer what is printed stands in the documents. With one "
            "(`writer` of `[knowledge.NAME]`, or `--writer`) a model phrases it, from the passages alone; "
            "each of its sentences is checked against what it cites, and dropped where that does not "
            "support it. Where nothing is left, or the writer fails, the quotes stand."
        ),
        handler="asking:ask",
        arguments=(
            Argument(
                flags=("words",),
                nargs="+",
                help="the question, in quotes; before it a knowledge base, where the project has several",
            ),
            Argument(
                flags=("--as",), value="USER", help="answer from what USER of the access policy may see"
            ),
            Argument(
                flags=("--writer",),
                value="NAME",
                help="a service of `[writers]`, or a GGUF file of `[models]`",
            ),
            Argument(flags=("--quote",), help="quote, though the base names a writer"),
            Argument(
                flags=("--replay",),
                value="ID",
                help="compare with the recorded answer of that `id`; exit 1 where it is another",
            ),
            Argument(flags=("--explain",), help="also print the ranking, the candidates and the evidence"),
            Argument(
                flags=("-k", "--passages"), value="N", default="20", help="passages to retrieve, at most 200"
            ),
            JSON,
        ),
        examples=(
            'cape ask "Who approves a trip?"',
            'cape ask handbook "What were the Q1 2023 metrics for the Nordics?" --as jonas --json',
        ),
    ),
    Command(
        name="graph show",
        summary="what a knowledge base says of a name, and what it is related to",
        description=(
            "Finds a person, a place, a product or a code in the documents, and lists what stands in "
            "relation to it: in one sentence, in one row of a table, or below its heading, each with the "
            "passage that says so. Relations are found by rules, without a model, when the graph is wanted: "
            "then documents that are new since are read for it. What the asker may not see has no name, no "
            "line and no count in it."
        ),
        handler="graph:show",
        arguments=(
            Argument(
                flags=("words",),
                nargs="+",
                help="the name, in quotes; before it a knowledge base, where the project has several",
            ),
            Argument(flags=("--as",), value="USER", help="show what USER of the access policy may see"),
            Argument(flags=("--to",), value="NAME", help="show a shortest way to another name instead"),
            Argument(flags=("--picture",), value="FILE", help="also draw it, as SVG"),
            JSON,
        ),
        examples=(
            'cape graph show "Anna Berg"',
            "cape graph show handbook Porto --picture porto.svg",
            'cape graph show Porto --to "Flow meter"',
        ),
    ),
    Command(
        name="usage",
        summary="list what answers cost, and what whole documents would have cost",
        description=(
            "Counts the answers of this project by base and month: the tokens that went to a model that "
            "writes, and those that sending it whole documents would have cost, of each answer just the "
            "documents that it cites. Tokens are estimated: one per mark and per started six letters of a "
            "word. With `usage.price` set, also in money. Then what each writer of `[writers]` did cost, as "
            "its service counts tokens and by its prices, and what is left of the `[budget]`. A question's "
            "text is not kept, unless `usage.questions` is `text`."
        ),
        handler="asking:usage",
        arguments=(
            Argument(flags=("--daily",), help="by day instead of month"),
            Argument(
                flags=("--picture",),
                value="FILE",
                complete="file",
                help="draw cost and tokens by day and writer into FILE, as SVG",
            ),
            JSON,
        ),
        examples=("cape usage", "cape usage --daily --json", "cape usage --picture usage.svg"),
    ),
    Command(
        name="evaluate",
        summary="ask a knowledge base its test set, and fail where it got worse",
        description=(
            "Asks every question of the test set that `[knowledge.NAME]` names as `questions`, and prints "
            "retrieval, exact facts, page-true citation, support, abstention, leaks, cost and time. Equal "
            "documents, lock and questions give an equal file. With `--compare` a metric that fell, beyond "
            "what the choice of questions explains (a paired bootstrap), is named with the questions that "
            "lost, and the exit code is 1; so is anything shown that the asker may not see."
        ),
        handler="gating:evaluate",
        arguments=(
            BASE,
            Argument(flags=("--write",), value="FILE", complete="file", help="keep the evaluation in FILE"),
            Argument(
                flags=("--compare",),
                value="FILE",
                complete="file",
                help="an evaluation that was kept; exit 1 on a regression",
            ),
            Argument(
                flags=("--page",), value="FILE", complete="file", help="write a page of HTML with plots"
            ),
            Argument(flags=("--half",), value="HALF", help="ask `calibrate` or `test` only"),
            JSON,
        ),
        examples=(
            "cape evaluate --write evaluation.jsonl",
            "cape evaluate --compare evaluation.jsonl --page evaluation.html",
        ),
    ),
    Command(
        name="evaluate generate",
        summary="propose questions for a person to accept",
        description=(
            "Prints questions that cells and sentences of the documents answer, as blocks for the test set, "
            "each below what the document says; about one in six wants `not found`. Nothing is accepted by "
            "itself: append what you agree with, better in other words than the documents'."
        ),
        handler="gating:generate",
        arguments=(
            BASE,
            Argument(flags=("--count",), value="N", help="how many at most; 20 otherwise"),
            Argument(
                flags=("--as",),
                value="USER",
                help="read what USER may see; what everyone may, otherwise",
            ),
        ),
        examples=("cape evaluate generate handbook --count 40",),
    ),
    Command(
        name="evaluate questions",
        summary="ask a knowledge base its own questions and score the answers",
        description=(
            "Asks every question of the file that `[knowledge.NAME]` names as `questions`, each as its "
            "user, and prints what failed and the score by kind and half. A question is right when each "
            "string of `answer` occurs in the answer, a citation points into each of `sources`, and one "
            "says `place`; of the kinds `absent` and `hidden`, when nothing is found."
        ),
        handler="answering:questions",
        arguments=(
            BASE,
            Argument(flags=("--half",), value="HALF", help="ask `calibrate` or `test` only"),
            Argument(
                flags=("--require",), value="SHARE", help="exit 1 when fewer are right, for example `0.8`"
            ),
            JSON,
        ),
        examples=("cape evaluate questions", "cape evaluate questions handbook --require 0.8"),
    ),
    Command(
        name="evaluate answers",
        summary="measure answers and refusals on a reading test",
        description=(
            "Answers questions that come with their passage, half of them without an answer in it, and "
            "prints token F1 beside that of the sentence that BM25 puts first, and what each bar answers "
            "right and wrong. Right is an answer that quotes a sentence which annotators chose, and has a "
            'token F1 of at least .3. TEST is a file of lines `{"id", "input", "passages": [{"title", '
            '"text", "sentences"}], "output": [{"answer", "selected_sentences"}]}`, or a directory of '
            "such `*.jsonl`."
        ),
        handler="answering:answers",
        arguments=(
            Argument(flags=("test",), complete="file", help="the file, or the directory of files"),
            *EMBEDDER,
            JSON,
        ),
        examples=("cape evaluate answers tests/reading.jsonl",),
    ),
    Command(
        name="evaluate claims",
        summary="check written answers against their evidence",
        description=(
            'Checks each answer of a file of lines `{"id", "answer", "evidence": [text]}`: is everything '
            "that it claims supported? Where lines also have people's `verdict` (`supported`, "
            "`unsupported`, `contradicted`) and `unsupported` ranges, prints precision, recall and F1 of "
            "what is not supported. With an embedder, sentences are also compared by meaning; without one, "
            "words and rules decide."
        ),
        handler="judging:claims",
        arguments=(
            Argument(flags=("test",), complete="file", help="the file of answers"),
            Argument(
                flags=("--predictions",),
                value="FILE",
                complete="file",
                help='write lines `{"id", "verdict", "score", "unsupported": [[start, end]]}` to FILE; the '
                "score is the probability that everything is supported",
            ),
            *EMBEDDER,
            JSON,
        ),
        examples=("cape evaluate claims answers.jsonl --predictions checked.jsonl",),
    ),
    Command(
        name="evaluate routing",
        summary="measure which questions a router sends to a strong writer",
        description=(
            "Orders questions by difficulty and prints the average share of the gap between a weak and a "
            "strong writer that this closes. TABLES holds `*.jsonl` with lines "
            '`{"subject", "prompt", "weak", "strong"}`, the last two true where that writer was right. '
            "Each subject's questions are ordered by a fit to all others; with `--shipped`, and where no "
            "outcome is known, by the router that comes with cape."
        ),
        handler="judging:routing",
        arguments=(
            Argument(flags=("tables",), complete="directory", help="the directory of the test"),
            Argument(
                flags=("--predictions",),
                value="FILE",
                complete="file",
                help='write lines `{"id", "subject", "difficulty"}` to FILE',
            ),
            Argument(flags=("--shipped",), help="by the router that comes with cape"),
            JSON,
        ),
        examples=("cape evaluate routing tables/mmlu",),
    ),
    Command(
        name="evaluate writers",
        summary="measure how far writers keep to what they are sent, by how much that is",
        description=(
            "Asks writers questions of the base's test set. The passage that answers is hidden among other "
            "passages that the asker may see, in three bands: short (below 5,000 tokens), medium (5,000 to "
            "25,000) and long (40,000 to 100,000). Adherence is the share of a writer's sentences that the "
            "passages which they cite support; beside it stand how many questions were answered and right, "
            "and tokens, cost and time of one. What it costs comes out of the `[budget]`. A band that a "
            "writer's window, or the base's policy, leaves out is named."
        ),
        handler="writing:writers",
        arguments=(
            BASE,
            Argument(
                flags=("--writer",),
                value="NAME",
                many=True,
                help="measure this one; may be given again; otherwise all of `[writers]` and of the base",
            ),
            Argument(
                flags=("--band",),
                value="BAND",
                many=True,
                complete=("short", "medium", "long"),
                help="`short`, `medium` or `long`; may be given again; otherwise all three",
            ),
            Argument(flags=("--questions",), value="N", help="how many at most; 10 otherwise"),
            JSON,
        ),
        examples=(
            "cape evaluate writers handbook",
            "cape evaluate writers --writer small --band short --questions 20",
        ),
    ),
    Command(
        name="evaluate retrieval",
        summary="measure retrieval on a test collection",
        description=(
            "Indexes the documents of a collection, asks its queries, and prints nDCG@10, recall@100, MRR@10 "
            "and what a query took. DIR holds `corpus.jsonl` (`id`, `title`, `text`), `queries.jsonl` (`id`, "
            "`text`) and `qrels.jsonl` (`query`, `document`, `relevance`). The embedder is the project's; "
            "vectors are kept in the store, so that a second run embeds nothing."
        ),
        handler="evaluating:retrieval",
        arguments=(
            Argument(flags=("collection",), complete="directory", help="the directory of the collection"),
            Argument(
                flags=("--run",),
                value="FILE",
                complete="file",
                help="write the rankings to FILE in TREC's form: `query Q0 document rank score tag`",
            ),
            *EMBEDDER,
            JSON,
        ),
        examples=(
            "cape evaluate retrieval collections/med",
            "cape evaluate retrieval collections/med --words-only --run med.run",
        ),
    ),
    Command(
        name="config",
        summary="list, show or set this machine's settings",
        description=(
            "Without arguments lists all settings; with a key shows it; with a key and values sets it. "
            "Locations of registries live here and never in a lock."
        ),
        handler="projects:config",
        arguments=(
            Argument(flags=("key",), nargs="?", complete="setting", help="a setting's name"),
            Argument(flags=("values",), nargs="*", help="its new value; several for a list"),
            Argument(flags=("--unset",), help="remove the setting from the user's file"),
            JSON,
        ),
        examples=("cape config", "cape config artifacts /mnt/artifacts"),
    ),
    Command(
        name="completions",
        summary="print completions for a shell",
        description="Prints a script to be sourced from the shell's start-up file.",
        handler="completions:run",
        arguments=(
            Argument(flags=("shell",), complete=("bash", "zsh", "fish"), help="`bash`, `zsh` or `fish`"),
        ),
        examples=('eval "$(cape completions bash)"',),
    ),
)

VARIABLES: tuple[Variable, ...] = (
    Variable(name="CAPE_ENV", set_inside=True, meaning="the environment; programs cannot write to it"),
    Variable(name="CAPE_ROOT", set_inside=True, meaning="its tree of system packages, `$CAPE_ENV/root`"),
    Variable(
        name="CAPE_STATE",
        set_inside=True,
        meaning="a directory of the project that programs may write to (mode 0700); also what they write "
        "below `/var` and `/run` lies there",
    ),
    Variable(name="CAPE_PROJECT", set_inside=True, meaning="the directory of the manifest"),
    Variable(
        name="CAPE_MODEL_NAME",
        set_inside=True,
        meaning="for each model, with its name in capitals: its file, or the directory of several",
    ),
    Variable(
        name="CAPE_SERVICE",
        set_inside=True,
        meaning="in a service: its mark, by which what a killed supervisor left is found",
    ),
    Variable(
        name="CAPE_SERVICES_NAMESPACE",
        meaning="`off`: services get no PID namespace, even where the machine allows one",
    ),
    Variable(
        name="PATH",
        set_inside=True,
        meaning="has `$CAPE_ENV/bin` in front; with `--pure`, nothing of the machine",
    ),
    Variable(
        name="VIRTUAL_ENV",
        set_inside=True,
        meaning="`$CAPE_STATE/python`, a virtual environment over the locked one, where it has a Python",
    ),
    Variable(
        name="PYTHONPYCACHEPREFIX",
        set_inside=True,
        meaning="`$CAPE_STATE/pycache`, where the environment has a Python: it is read-only itself",
    ),
    Variable(
        name="CAPE_SCRIPT",
        set_inside=True,
        meaning="for a moment, between a script whose interpreter's path is too long for its first line and "
        "that interpreter",
    ),
    Variable(name="CAPE_TASK", set_inside=True, meaning="which task of `cape submit` this is, from 0"),
    Variable(name="CAPE_TASKS", set_inside=True, meaning="how many tasks `cape submit` was asked for"),
    Variable(
        name="CAPE_OUTPUTS", set_inside=True, meaning="where a task of `cape submit` leaves what comes back"
    ),
    Variable(name="XDG_DATA_HOME", meaning="the store is in `cape` below it, unless it is set"),
    Variable(name="CAPE_GPU", meaning="the accelerator to take instead of what is there: `cpu`, `cuda12.4`"),
    Variable(name="CAPE_PACK_STATE", meaning="where a packed environment keeps its state"),
    Variable(
        name="XDG_STATE_HOME",
        meaning="which projects may be entered by a prompt hook is in `cape/consent` below it",
    ),
    Variable(name="XDG_CONFIG_HOME", meaning="settings are in `cape/config.toml` below it"),
    Variable(name="NO_COLOR", meaning="when it is not empty, no colours"),
    Variable(name="TERM", meaning="`dumb`: no colours and no progress bars"),
    Variable(name="HTTPS_PROXY", meaning="the proxy to download through; also `HTTP_PROXY` and `NO_PROXY`"),
    Variable(
        name="SSL_CERT_FILE",
        meaning="certificates to trust for downloads; also `SSL_CERT_DIR`. Set inside where the environment "
        "has a bundle, the machine has none, and you did not set it",
    ),
)

BY_NAME = {command.name: command for command in COMMANDS}
