"""Checks that what is deployed agrees with the programs and with itself.

    manifests.py REPOSITORY COMPOSE_JSON RENDERED_YAML...

Owns what no schema knows: that every variable is one that its program reads, that numbers which are written in two places
are the same, and that the daily run asks for the days of its Job. Prints each mistake and exits with 1 if there is one.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

# Read by the shell of the daily run, not by a program.
SHELL = {"JOB_NAME"}
# Between the end of the drain and the end of the grace period.
MARGIN_SECONDS = 30

mistakes = []


def check(holds, message):
    if not holds:
        mistakes.append(message)


def seconds(text):
    """Seconds of `1m30s`."""
    hours, minutes, rest = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text).groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + int(rest)


class Programs:
    """The variables that each program reads, from its source and from the documentation."""

    def __init__(self, root):
        self.root = root
        documented = {
            name
            for page in ("settings.md", "launchpad-bugs.md", "cluster.md")
            for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", (root / "docs" / page).read_text())
        }
        shared = {name for name in documented if not name.startswith(("PIPELINES_", "LP_", "SCHEDULER_", "EXECUTOR_"))}
        self.known = {
            "pipelines": {name for name in documented if name.startswith(("PIPELINES_", "LP_"))} | shared,
            "scheduler": self.declared(root / "scheduler") | shared,
            "executor": self.declared(root / "executor") | shared,
        }
        definition = (root / "pipelines/definitions/launchpad_bugs.sql").read_text()
        for name in re.findall(r"^DECLARE\s+(\w+)", definition, re.MULTILINE):
            self.known["pipelines"].add(f"PIPELINES_SET__{name.upper()}")

    @staticmethod
    def declared(crate):
        found = {
            name
            for file in (crate / "src").rglob("*.rs")
            for name in re.findall(r'env = "([A-Z_]+)"', file.read_text())
        }
        check(found, f"{crate.name}: found no variable in its source")
        return found

    def check_probe(self, where, program, probe):
        """That the program's source has the flags that the probe gives to `healthcheck`."""
        if probe:
            path, command, *flags = probe["exec"]["command"]
            check((path, command) == (f"/usr/local/bin/{program}", "healthcheck"), f"{where}: asks {path} {command}")
            source = (self.root / program / "src/main.rs").read_text()
            for flag in flags:
                check(f"{flag.removeprefix('--')}: bool" in source, f"{where}: `{program} healthcheck` has no {flag}")

    def check_served(self, where, name):
        """That the scheduler serves a number of this name."""
        sources = (self.root / "scheduler/src").rglob("*.rs")
        check(any(re.search(rf"\b{name}\b", file.read_text()) for file in sources), f"{where}: the scheduler serves no {name}")

    def check_variables(self, where, program, names):
        for name in sorted(names):
            check(name in self.known[program], f"{where}: `{program}` does not read {name}")


def program_of(image):
    """`executor` of `registry.example.org/spillway/executor:0.1.0`, None if the image is not ours."""
    found = re.search(r"(?:^|/)spillway/(\w+)(?::|@|$)", image)
    return found and found.group(1)


def check_dockerfile(root, programs):
    program = None
    for line in (root / "deploy/Dockerfile").read_text().splitlines():
        if stage := re.match(r"FROM \S+ AS (\w+)", line):
            program = stage.group(1)
        if variable := re.match(r"ENV (\w+)=", line):
            programs.check_variables("Dockerfile", program, [variable.group(1)])


def check_compose(path, programs):
    services = json.loads(path.read_text())["services"]
    for name, service in services.items():
        program = program_of(service["image"])
        limits = service["deploy"]["resources"]["limits"]
        check(service.get("read_only"), f"compose, {name}: its root can be written")
        if program is None:
            continue
        variables = service["environment"]
        programs.check_variables(f"compose, {name}", program, variables)
        if program == "executor":
            check(variables["EXECUTOR_MEMORY_BYTES"] == limits["memory"], f"compose, {name}: its memory is not its limit")
            check(variables["EXECUTOR_EXTERNAL_HOST"] == name, f"compose, {name}: it gives another's name as its own")
            drain = int(variables["EXECUTOR_DRAIN_SECONDS"])
            grace = seconds(service["stop_grace_period"])
            check(grace >= drain + MARGIN_SECONDS, f"compose, {name}: is killed after {grace} s, drains for {drain} s")


def run_script(container, job):
    """What the script of the daily run asks of `pipelines` in the Job of this name: its arguments, or its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pipelines"
        program.write_text('#!/bin/sh\necho "$@"\n')
        program.chmod(0o755)
        ended = subprocess.run(
            container["command"] + container["args"],
            env={"PATH": f"{folder}:{os.environ['PATH']}", "JOB_NAME": job, "TZ": "Asia/Tokyo"},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stdout.strip() or ended.returncode


def check_daily_run(where, container):
    # 29402060 minutes after 1970 is 2025-11-26 02:20 in UTC, and the 26th in Tokyo as well at 11:20.
    for job, expected in {
        "launchpad-bugs-29402060": "run launchpad_bugs --from 2025-11-24 --to 2025-11-26",
        "by-hand-29402060": "run launchpad_bugs --from 2025-11-24 --to 2025-11-26",
        "by-hand": 2,
        "by-hand-1": 2,
    }.items():
        asked = run_script(container, job)
        check(asked == expected, f"{where}: Job {job} asks for {asked!r}, not {expected!r}")


class Overlay:
    """One rendered overlay."""

    def __init__(self, path):
        self.name = path.stem
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(path.read_text())}

    def pods(self):
        for (kind, name), item in self.objects.items():
            if kind == "Deployment":
                yield name, item["spec"]["template"]["spec"]
            elif kind == "CronJob":
                yield name, item["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    def variables(self, container):
        """Name and value (None: known only in the cluster) of what a container is given."""
        found = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                found.update(self.objects["ConfigMap", source["configMapRef"]["name"]]["data"])
        found.update({item["name"]: item.get("value") for item in container.get("env", [])})
        return found

    def check(self, programs):
        executor = self.objects["Deployment", "executor"]["spec"]["template"]["spec"]
        limits = executor["containers"][0]["resources"]["limits"]
        drain = None
        for name, pod in self.pods():
            where = f"{self.name}, {name}"
            # The API server would set variables such as SCHEDULER_PORT for services of that name.
            check(pod.get("enableServiceLinks") is False, f"{where}: Kubernetes may set variables of ours")
            for container in pod["containers"]:
                program = program_of(container["image"])
                check(program, f"{where}: {container['image']} is not one of our images")
                variables = self.variables(container)
                programs.check_variables(where, program, variables.keys() - SHELL)
                drain = variables.get("EXECUTOR_DRAIN_SECONDS", drain)
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    programs.check_probe(f"{where}, {probe}", program, container.get(probe))
                if name == "launchpad-bugs" and "args" in container:
                    check_daily_run(where, container)
                check(
                    container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"],
                    f"{where}: is promised less memory than it may take",
                )
        grace = executor["terminationGracePeriodSeconds"]
        check(grace >= int(drain) + MARGIN_SECONDS, f"{self.name}: executors are killed after {grace} s, drain for {drain} s")
        self.check_scaling(int(limits["cpu"]), programs)

    def check_scaling(self, vcores, programs):
        deployment = self.objects["Deployment", "executor"]
        autoscaler = self.objects.get(("HorizontalPodAutoscaler", "executor"))
        scaled = self.objects.get(("ScaledObject", "executor"))
        check(not (autoscaler and scaled), f"{self.name}: two autoscalers for one pool")
        if not autoscaler and not scaled:
            check("replicas" in deployment["spec"], f"{self.name}: nobody says how many executors there are")
            return
        check("replicas" not in deployment["spec"], f"{self.name}: the manifest and an autoscaler say how many executors there are")
        if autoscaler:
            each = autoscaler["spec"]["metrics"][0]["external"]["target"]["averageValue"]
        else:
            metadata = scaled["spec"]["triggers"][0]["metadata"]
            each = metadata["targetValue"]
            programs.check_served(f"{self.name}, KEDA", metadata["valueLocation"])
            host = f"//scheduler.{scaled['metadata']['namespace']}.svc:9090/"
            check(host in metadata["url"], f"{self.name}: KEDA asks {metadata['url']}, the scheduler is {host}")
            scheduler = self.objects["Deployment", "scheduler"]["spec"]["template"]["spec"]["containers"][0]
            names = self.variables(scheduler).get("SCHEDULER_ALLOW_HOST", "").split(",")
            name = f"scheduler.{scaled['metadata']['namespace']}.svc"
            check(name in names, f"{self.name}: the scheduler refuses KEDA, which calls it {name}")
        check(int(each) == vcores, f"{self.name}: an executor has {vcores} vcores and is added for every {each} that are wanted")


def check_adapter(root, programs):
    """The series that prometheus-adapter asks Prometheus for, and the metric that the autoscaler asks it for."""
    folder = root / "deploy/k8s/components/hpa"
    rule = yaml.safe_load((folder / "prometheus-adapter-values.yaml").read_text())["rules"]["external"][0]
    for series in set(re.findall(r"spillway_scheduler_(\w+)", rule["seriesQuery"] + rule["metricsQuery"])):
        programs.check_served("prometheus-adapter", series)
    autoscaler = yaml.safe_load((folder / "autoscaler.yaml").read_text())
    metric = autoscaler["spec"]["metrics"][0]["external"]["metric"]["name"]
    check(metric == rule["name"]["as"], f"prometheus-adapter makes {rule['name']['as']}, the autoscaler wants {metric}")


def main(root, compose, *rendered):
    programs = Programs(root)
    check_dockerfile(root, programs)
    check_compose(compose, programs)
    check_adapter(root, programs)
    for path in rendered:
        Overlay(path).check(programs)
    for mistake in mistakes:
        print(f"deploy: {mistake}", file=sys.stderr)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
