"""Carries out the stages of a Dockerfile without a container engine.

A strict reader of the part of the language that our Dockerfile uses: an instruction, option or form
that it does not know is an error, so what is proven is the file itself. A stage becomes a folder
with a root file system; a base image becomes the Debian that debootstrap made.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# Base images, and whether the Rust toolchain of this machine stands for the image's.
BASES = {"debian:bookworm-slim": False, "debian:bookworm": False, "rust:1-bookworm": True}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OPTIONS = {
    "COPY": {"from", "chmod", "chown"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "retries"},
}


class Mistake(Exception):
    """Something in the Dockerfile that is wrong or that this reader does not know."""


@dataclass
class Step:
    line: int
    word: str
    rest: str
    options: dict


@dataclass
class Stage:
    name: str
    base: str
    steps: list = field(default_factory=list)


@dataclass
class Image:
    """What a stage has come to: its files and how it is run."""

    root: Path
    rust: bool
    env: dict = field(default_factory=dict)
    user: str = "0"
    workdir: str = "/"
    entrypoint: list = field(default_factory=list)
    cmd: list = field(default_factory=list)
    health: list = field(default_factory=list)
    ports: list = field(default_factory=list)
    stop_signal: str = "SIGTERM"


def logical_lines(text):
    """Lines without comments, continued ones joined; with their numbers."""
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if not joined:
            start = number
        joined += line.rstrip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        if joined.strip():
            yield start, joined.strip()
        joined = ""
    if joined:
        raise Mistake(f"line {start}: continued beyond the end of the file")


def parse(text):
    """The stages, in order, by name."""
    stages = {}
    stage = None
    for number, line in logical_lines(text):
        word, _, rest = line.partition(" ")
        word, rest, options = word.upper(), rest.strip(), {}
        if "<<" in rest:
            raise Mistake(f"line {number}: here-documents are not known")
        while rest.startswith("--"):
            option, _, rest = rest.partition(" ")
            key, _, value = option[2:].partition("=")
            if key not in OPTIONS.get(word, set()):
                raise Mistake(f"line {number}: {word} --{key} is not known")
            options[key], rest = value, rest.strip()
        if word == "FROM":
            match = re.fullmatch(r"(\S+) [Aa][Ss] ([a-z][a-z0-9-]*)", rest)
            if not match:
                raise Mistake(f"line {number}: FROM wants an image and a stage's name")
            base, name = match.groups()
            if base not in BASES and base not in stages:
                raise Mistake(f"line {number}: {base} is no stage above and no known image")
            stage = stages[name] = Stage(name, base)
        elif stage is None:
            raise Mistake(f"line {number}: {word} before the first FROM")
        elif word not in APPLY:
            raise Mistake(f"line {number}: {word} is not known")
        else:
            stage.steps.append(Step(number, word, rest, options))
    return stages


def exec_form(step, text=None):
    """The words of a JSON array; the shell form is not known but for RUN."""
    try:
        words = json.loads(text if text is not None else step.rest)
    except json.JSONDecodeError:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        raise Mistake(f"line {step.line}: {step.word} wants the exec form, [\"…\"]")
    return words


class Builder:
    """Builds stages below a folder; `provided` stands for files of stages that are not built."""

    def __init__(self, stages, context, work, base_root, provided):
        self.stages, self.context, self.work = stages, context, work
        self.base_root, self.provided = base_root, provided
        self.images = {}
        self.ignore = read_ignore(context / ".dockerignore")

    def find_sources(self):
        """Fails if any stage, also one that is not built here, copies something unknown."""
        for stage in self.stages.values():
            for step in stage.steps:
                if step.word == "COPY" and "from" not in step.options:
                    for source in shlex.split(step.rest)[:-1]:
                        self.find(step, source)

    def image(self, name):
        if name not in self.images:
            self.images[name] = self.build(self.stages[name])
        return self.images[name]

    def build(self, stage):
        root = self.work / stage.name
        if root.exists():
            shutil.rmtree(root)
        if stage.base in BASES:
            rust, parent = BASES[stage.base], None
            source = self.base_root
        else:
            parent = self.image(stage.base)
            rust, source = parent.rust, parent.root
        subprocess.run(["cp", "-a", "--reflink=auto", source, root], check=True)
        image = Image(root, rust)
        if parent:
            image.env, image.user, image.workdir = dict(parent.env), parent.user, parent.workdir
            image.entrypoint, image.cmd = list(parent.entrypoint), list(parent.cmd)
        elif rust:
            image.env = {"CARGO_HOME": "/usr/local/cargo", "RUSTUP_HOME": "/usr/local/rustup"}
            image.env["PATH"] = f"/usr/local/cargo/bin:{PATH}"
        for step in stage.steps:
            print(f"[{stage.name}] {step.word} {step.rest[:100]}", flush=True)
            APPLY[step.word](self, image, step)
        return image

    # --- instructions ---

    def run(self, image, step):
        if step.rest.startswith("["):
            raise Mistake(f"line {step.line}: RUN wants the shell form")
        run_step(image, ["/bin/sh", "-c", step.rest])

    def copy(self, image, step):
        *sources, target = shlex.split(step.rest)
        if not sources or any(mark in step.rest for mark in "*?$[\""):
            raise Mistake(f"line {step.line}: COPY wants plain sources and a target")
        into = target.endswith("/")
        if len(sources) > 1 and not into:
            raise Mistake(f"line {step.line}: several sources want a folder, with a final slash")
        for source in sources:
            found = self.find(step, source)
            place = Path(os.path.normpath(os.path.join(image.workdir, target)))
            place = place / found.name if into else place
            self.place(step, found, image.root / place.relative_to("/"))

    def find(self, step, source):
        stage = step.options.get("from")
        if stage is None:
            found = self.context / source
            if not found.exists():
                raise Mistake(f"line {step.line}: {source} is not there")
            if self.ignore(source):
                raise Mistake(f"line {step.line}: .dockerignore leaves {source} out")
            return found
        if stage not in self.stages:
            raise Mistake(f"line {step.line}: there is no stage {stage}")
        if (stage, source) in self.provided:
            return self.provided[stage, source]
        found = self.image(stage).root / source.lstrip("/")
        if not found.exists():
            raise Mistake(f"line {step.line}: stage {stage} has no {source}")
        return found

    def place(self, step, found, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            leave_out = shutil.ignore_patterns("target", ".git")
            shutil.copytree(found, target, dirs_exist_ok=True, symlinks=True, ignore=leave_out)
        else:
            shutil.copy(found, target)
        owner = step.options.get("chown", "0:0")
        for path in [target, *target.rglob("*")] if target.is_dir() else [target]:
            os.chown(path, *map(int, owner.split(":")), follow_symlinks=False)
            if "chmod" in step.options and not path.is_dir():
                path.chmod(int(step.options["chmod"], 8))

    def environment(self, image, step):
        for word in shlex.split(step.rest):
            key, equals, value = word.partition("=")
            if not equals or "$" in value:
                raise Mistake(f"line {step.line}: ENV wants key=value without variables")
            image.env[key] = value

    def user(self, image, step):
        if not re.fullmatch(r"\d+:\d+", step.rest):
            raise Mistake(f"line {step.line}: USER wants two numbers")
        image.user = step.rest

    def workdir(self, image, step):
        image.workdir = os.path.normpath(os.path.join(image.workdir, step.rest))
        folder = image.root / image.workdir.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)

    def expose(self, image, step):
        image.ports += [int(port) for port in step.rest.split()]

    def entrypoint(self, image, step):
        image.entrypoint, image.cmd = exec_form(step), []

    def cmd(self, image, step):
        image.cmd = exec_form(step)

    def healthcheck(self, image, step):
        word, _, rest = step.rest.partition(" ")
        if word != "CMD":
            raise Mistake(f"line {step.line}: HEALTHCHECK wants CMD")
        image.health = exec_form(step, rest)

    def stop_signal(self, image, step):
        image.stop_signal = step.rest


APPLY = {
    "RUN": Builder.run,
    "COPY": Builder.copy,
    "ENV": Builder.environment,
    "USER": Builder.user,
    "WORKDIR": Builder.workdir,
    "EXPOSE": Builder.expose,
    "ENTRYPOINT": Builder.entrypoint,
    "CMD": Builder.cmd,
    "HEALTHCHECK": Builder.healthcheck,
    "STOPSIGNAL": Builder.stop_signal,
}


def read_ignore(path):
    """.dockerignore: `*`, then `!name` for what is let in; no other form is known."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or lines[0] != "*" or not all(re.fullmatch(r"![\w.-]+", l) for l in lines[1:]):
        raise Mistake(f"{path.name}: only `*` and then `!name` are known")
    kept = {line[1:] for line in lines[1:]}
    return lambda source: Path(source).parts[0] not in kept


# --- running a command in an image ---

INSIDE = r"""
set -eu
root=$1 user=$2 workdir=$3 read_only=$4 binds=$5; shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
for bind in $binds; do mount --bind "${bind%%=*}" "$root${bind#*=}"; done
if [ "$read_only" = yes ]; then
  mount -o remount,bind,ro "$root"
  mount -t tmpfs -o mode=1777 tmpfs "$root/var/tmp"
fi
mount -t proc proc "$root/proc"
for node in null zero full random urandom; do mount --bind "/dev/$node" "$root/dev/$node"; done
[ "$user" = 0:0 ] && drop= || drop="--no-new-privs --bounding-set=-all --inh-caps=-all"
exec chroot "$root" setpriv --reuid "${user%%:*}" --regid "${user##*:}" --clear-groups $drop \
  /bin/sh -c 'cd "$0" && exec "$@"' "$workdir" "$@"
"""


def command_in(image, words, binds=(), read_only=False):
    """The command line that runs `words` in an image, as its user and process 1 of a name space.

    `binds` are pairs of a path of this machine and one of the image.
    """
    for node in ["null", "zero", "full", "random", "urandom"]:
        (image.root / "dev" / node).touch()
    pairs = " ".join(f"{here}={there}" for here, there in binds)
    env = ["env", "-i", *(f"{k}={v}" for k, v in {"PATH": PATH, **image.env}.items())]
    user = image.user if ":" in image.user else "0:0"
    about = [str(image.root), user, image.workdir, "yes" if read_only else "no", pairs]
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*apart, "sh", "-c", INSIDE, "sh", *about, *env, *words]


def run_step(image, words):
    """Runs a build step, with the machine's name service and the toolchain if it has one."""
    binds = []
    for name in ["/etc/resolv.conf", "/etc/hosts"]:
        (image.root / name.lstrip("/")).touch()
        binds.append((name, name))
    if image.rust:
        homes = {"CARGO_HOME": ".cargo", "RUSTUP_HOME": ".rustup"}
        for key, default in homes.items():
            here = os.environ.get(key, str(Path.home() / default))
            (image.root / image.env[key].lstrip("/")).mkdir(parents=True, exist_ok=True)
            binds.append((here, image.env[key]))
        certificates = Path("/etc/ssl/certs")
        if certificates.exists():
            (image.root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
            binds.append((certificates, certificates))
    # a package must not start what it brings
    policy = image.root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    done = subprocess.run(command_in(image, words, binds), stdout=subprocess.DEVNULL)
    policy.unlink()
    if done.returncode != 0:
        raise Mistake(f"a step ended with {done.returncode}: {' '.join(words)[:200]}")
