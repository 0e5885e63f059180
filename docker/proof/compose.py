"""Reads a compose file and checks what it refers to; keys that are not known here are errors."""

import re

import yaml

from dockerfile import Mistake

KNOWN = {
    "": {"services", "volumes"},
    "service": {
        "build", "init", "stop_grace_period", "volumes", "extra_hosts", "healthcheck",
        "network_mode", "depends_on", "read_only", "tmpfs", "environment",
    },
    "build": {"context", "dockerfile", "target"},
    "healthcheck": {"test", "interval", "start_period"},
}  # fmt: skip


def only(known, mapping, where):
    unknown = set(mapping) - KNOWN[known]
    if unknown:
        raise Mistake(f"compose.yaml: {where}: {', '.join(sorted(unknown))} is not known")


def read(path, stages):
    """The compose file, once everything that it names is known to exist."""
    compose = yaml.safe_load(path.read_text())
    only("", compose, "top")
    services, volumes = compose["services"], compose.get("volumes", {})
    for name, service in services.items():
        only("service", service, name)
        only("build", service["build"], name)
        check_build(path, stages, name, service["build"])
        check_volumes(path, volumes, name, service)
        only("healthcheck", service.get("healthcheck", {}), name)
        mode = service.get("network_mode", "service:" + name)
        if mode.removeprefix("service:") not in services:
            raise Mistake(f"compose.yaml: {name}: there is no {mode}")
        if "network_mode" in service and "extra_hosts" in service:
            raise Mistake(f"compose.yaml: {name}: names belong to the network's owner")
        for other, how in service.get("depends_on", {}).items():
            healthy = how == {"condition": "service_healthy"}
            if other not in services or not healthy or "healthcheck" not in services[other]:
                raise Mistake(f"compose.yaml: {name}: depends on {other}, which tells no health")
    return compose


def check_build(path, stages, name, build):
    context = (path.parent / build["context"]).resolve()
    if not (context / build["dockerfile"]).is_file():
        raise Mistake(f"compose.yaml: {name}: no {build['dockerfile']} in {build['context']}")
    if build["target"] not in stages:
        raise Mistake(f"compose.yaml: {name}: the Dockerfile has no stage {build['target']}")


def check_volumes(path, volumes, name, service):
    for volume in service.get("volumes", []):
        source, target, *mode = volume.split(":")
        if not target.startswith("/") or mode not in ([], ["ro"]):
            raise Mistake(f"compose.yaml: {name}: {volume} is not understood")
        is_path = source.startswith(".")
        if is_path and not (path.parent / source).is_file():
            raise Mistake(f"compose.yaml: {name}: {source} is not there")
        if not is_path and source not in volumes:
            raise Mistake(f"compose.yaml: {name}: volume {source} is not declared")


def check_names(compose, names_rs):
    """Every extra host is one of the lab's, at the lab's address."""
    lab = dict(re.findall(r'^ +\("(\w+)", (\d+)\),$', names_rs.read_text(), re.MULTILINE))
    hosts = {}
    for service in compose["services"].values():
        hosts.update(entry.split(":") for entry in service.get("extra_hosts", []))
    for host, address in hosts.items():
        if address != f"127.0.10.{lab.get(host.split('.')[0])}":
            raise Mistake(f"compose.yaml: {host} is not at {address} in {names_rs.name}")
    return hosts


def check_packages(lab_stage, install_rs):
    """The lab's image has every Debian package that the lab asks for."""
    needs = set(re.findall(r'package: "([a-z0-9-]+)"', install_rs.read_text()))
    text = " ".join(step.rest for step in lab_stage.steps if step.word == "RUN")
    missing = needs - set(text.split())
    if not needs or missing:
        raise Mistake(f"Dockerfile: stage lab lacks {', '.join(sorted(missing)) or 'packages'}")
