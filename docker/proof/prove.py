"""Builds the images' root file systems and runs them: see ../prove.sh."""

import argparse
import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import compose as composition
from dockerfile import Builder, Mistake, command_in, parse

DOCKER = Path(__file__).resolve().parent.parent
PROJECT = DOCKER.parent
BINARY = "/src/target/pgo/spnegate"
LAB = "/src/target/debug/lab"
PATIENCE = 30
CLONE_NEWNET = 0x40000000


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--base", type=Path, required=True)
    arguments.add_argument("--binary", type=Path, required=True)
    arguments.add_argument("--lab", type=Path)
    arguments.add_argument("--cache", type=Path)
    arguments.add_argument("--build", action="store_true")
    arguments.add_argument("--compose", action="store_true")
    given = arguments.parse_args()
    try:
        prove(given)
    except (Mistake, subprocess.CalledProcessError) as error:
        sys.exit(f"docker-proof: {error}")
    say("all steps passed")


def say(text):
    print(f"docker-proof: {text}", flush=True)


def prove(given):
    stages = parse((DOCKER / "Dockerfile").read_text())
    compose = composition.read(DOCKER / "compose.yaml", stages)
    lab_sources = PROJECT / "integration/src"
    if (lab_sources / "names.rs").exists():
        hosts = composition.check_names(compose, lab_sources / "names.rs")
        composition.check_packages(stages["lab"], lab_sources / "install.rs")
    else:
        hosts = {}
        say("integration/ has no lab here: its names and packages are not compared")
    if list(stages)[-1] != "runtime":
        raise Mistake("the last stage, which is built by default, must be the gateway's")
    say(f"stages {', '.join(stages)}; services {', '.join(compose['services'])}")
    say("compose.yaml: everything it names is there")

    provided = {}
    if not given.build:
        provided["build", BINARY] = given.binary
        if given.lab:
            provided["build-lab", LAB] = given.lab
    builder = Builder(stages, PROJECT, given.work, given.base, provided)
    builder.find_sources()
    runtime = builder.image("runtime")
    if given.build:
        say("the build stage made the binary")
    cluster = builder.image("lab") if given.compose else None
    say(f"runtime image: {mebibytes(runtime.root)} MiB, {mebibytes(given.base)} of them the base")

    # from here on nothing but this network: a loopback device
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise Mistake(f"no network name space: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    run_gateway(runtime, given.work / "etc-spnegate")
    if cluster:
        run_compose(given, compose, hosts, cluster, runtime)


def mebibytes(root):
    done = subprocess.run(["du", "-sxm", root], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


# --- the runtime image alone ---


def run_gateway(image, folder):
    # without a replay cache in the image's own files: that is what --tmpfs /var/tmp is for
    write_configuration(folder)
    binds = [(folder, "/etc/spnegate")]
    run(image, ["--version"], binds)
    if "not found" in output(image, ["ldd", "/usr/local/bin/spnegate"]):
        raise Mistake("the image lacks a library of the binary")
    say("all libraries are there")

    run(image, ["check", "--config", "/etc/spnegate/spnegate.toml"], binds)
    broken = ["check", "--config", "/etc/spnegate/broken.toml"]
    run(image, broken, binds, expected=78)

    gateway = start(image, [*image.entrypoint, *image.cmd], binds, read_only=True)
    try:
        wait("the health check to pass", gateway, lambda: healthy(image))
        status, _ = get("http://127.0.0.1:50070/.spnegate/health")
        expect("/.spnegate/health", status, 200)
        status, headers = get("http://127.0.0.1:50070/", {"Host": "proxy.example.com:50070"})
        expect("/ without a ticket", status, 401)
        expect("its challenge", headers.get("WWW-Authenticate"), "Negotiate")
        expect("user of the process", user_of(gateway), 990)
    finally:
        code = stop(gateway, image.stop_signal)
    expect(f"exit code after {image.stop_signal}", code, 0)


def write_configuration(folder):
    """conf/cluster.toml with a keytab and a secret, and a file with a mistake."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    example = (PROJECT / "conf/cluster.toml").read_text()
    (folder / "spnegate.toml").write_text(example)
    (folder / "broken.toml").write_text(example.replace("[admin]", "[administration]"))
    (folder / "secret").write_bytes(os.urandom(32))
    names = [("HTTP", "proxy.example.com"), ("spnegate", "proxy.example.com")]
    (folder / "merged.keytab").write_bytes(keytab(names))
    for path in folder.iterdir():
        os.chown(path, 0, 990)
        path.chmod(0o640)


def keytab(names, realm="EXAMPLE.COM"):
    """An MIT keytab (version 2) with a random AES-256 key for each name."""
    counted = lambda text: struct.pack(">H", len(text)) + text
    entries = b"\x05\x02"
    for components in names:
        entry = struct.pack(">H", len(components)) + counted(realm.encode())
        entry += b"".join(counted(part.encode()) for part in components)
        entry += struct.pack(">IIBH", 1, int(time.time()), 1, 18) + counted(os.urandom(32))
        entries += struct.pack(">i", len(entry)) + entry
    return entries


# --- both services of compose.yaml ---


def run_compose(given, compose, hosts, cluster, gateway):
    volumes = {"lab": given.work / "volume-lab", "cache": given.work / "volume-cache"}
    for name, folder in volumes.items():
        shutil.rmtree(folder, ignore_errors=True)
        # an engine gives a new volume the owner and mode of the image's folder
        subprocess.run(["cp", "-a", cluster.root / name, folder], check=True)
    names = "127.0.0.1 localhost\n" + "".join(f"{at} {host}\n" for host, at in hosts.items())
    binds = {}
    for name, image in [("cluster", cluster), ("gateway", gateway)]:
        service = compose["services"][name]
        (image.root / "etc/hosts").write_text(names)
        image.env.update(service.get("environment", {}))
        binds[name] = [mount(image, volumes, line) for line in service["volumes"]]
    if given.cache:
        (volumes["cache"] / "spnegate-lab").mkdir()
        binds["cluster"].append((given.cache, "/cache/spnegate-lab"))
    test = compose["services"]["cluster"]["healthcheck"]["test"]
    exec_in_cluster = lambda words: output(cluster, words, binds["cluster"])

    world = start(cluster, cluster.cmd, binds["cluster"])
    front = None
    try:
        ready = lambda: succeeds(cluster, test[1:], binds["cluster"])
        wait("the cluster's health check to pass", world, ready, 600)
        words = [*gateway.entrypoint, *gateway.cmd]
        front = start(gateway, words, binds["gateway"], read_only=True)
        wait("the gateway's health check to pass", front, lambda: healthy(gateway))
        url = "http://proxy.example.com:50070/webhdfs/v1/?op=GETHOMEDIRECTORY"
        ask = ["lab", "exec", "--as", "alice", "curl", "-sS", "--negotiate", "-u", ":", url]
        wait("alice's home through the gateway", front, lambda: "/user/alice" in exec_in_cluster(ask))
        exec_in_cluster(["lab", "kill", "nn1"])
        expect("alice's home without nn1", "/user/alice" in exec_in_cluster(ask), True)
    finally:
        if front:
            stop(front, gateway.stop_signal)
        stop(world, "SIGTERM")


def mount(image, volumes, line):
    source, target, *_ = line.split(":")
    place = image.root / target.lstrip("/")
    if source in volumes:
        place.mkdir(parents=True, exist_ok=True)
        return volumes[source], target
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    return (DOCKER / source).resolve(), target


# --- processes ---


def run(image, words, binds, expected=0):
    """`docker run image words…`"""
    done = subprocess.run(command_in(image, [*image.entrypoint, *words], binds))
    expect(f"exit code of spnegate {' '.join(words)}", done.returncode, expected)


def output(image, words, binds=()):
    command = command_in(image, words, binds)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def succeeds(image, words, binds=()):
    return subprocess.run(command_in(image, words, binds), capture_output=True).returncode == 0


def healthy(image):
    return succeeds(image, image.health)


def start(image, words, binds, read_only=False):
    return subprocess.Popen(command_in(image, words, binds, read_only))


def inner(process):
    """The process in the name space: the only child of `unshare`."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if children else None


def user_of(process):
    return os.stat(f"/proc/{inner(process)}").st_uid


def stop(process, name):
    """As an engine does: the signal, some patience, SIGKILL."""
    child = inner(process) if process.poll() is None else None
    if child:
        os.kill(child, getattr(signal, name))
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Mistake(f"still there {PATIENCE} s after {name}") from None


def wait(what, process, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not condition():
        if process.poll() is not None:
            raise Mistake(f"waited for {what}, but the process ended with {process.returncode}")
        if time.monotonic() > end:
            raise Mistake(f"waited {patience} s for {what}")
        time.sleep(0.2)
    say(f"{what}: yes")


def get(url, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def expect(what, found, expected):
    if found != expected:
        raise Mistake(f"{what}: {found} in place of {expected}")
    say(f"{what}: {found}")


main()
