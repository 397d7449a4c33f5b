"""The Dockerfile, by hadolint; and what compose.yaml and compose.tenant.yaml say of each service."""

import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FILES = ("compose.yaml", "compose.tenant.yaml")
SECRET = re.compile(r"SECRET|PASSWORD|_KEY$")


def dockerfile(text):
    done = subprocess.run(["hadolint", "--no-color", "-"], input=text, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines() if done.returncode else []


def compose(text, targets, example):
    """What is wrong with a file: targets are the stages of the Dockerfile, example the variables to fill in."""
    file = yaml.safe_load(text)
    for name, service in file["services"].items():
        hardened = service.get("read_only") is True and service.get("cap_drop") == ["ALL"]
        if not hardened or service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} is not hardened"
        if "mem_limit" not in service or "pids_limit" not in service:
            yield f"{name} is not bounded"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: {port} is published to other machines"
        for variable in service.get("environment", {}):
            if SECRET.search(variable) and not variable.endswith("_FILE"):
                yield f"{name}: a secret in the environment ({variable})"
        for secret in service.get("secrets", []):
            if secret not in file.get("secrets", {}):
                yield f"{name}: there is no secret {secret}"
        if "build" in service and service["build"]["target"] not in targets:
            yield f"{name}: the Dockerfile has no stage {service['build']['target']}"
        network = service.get("network_mode", "")
        if network and network.removeprefix("service:") not in file["services"]:
            yield f"{name}: there is no service of network {network}"
    for variable, default in re.findall(r"\$\{(\w+)(:-)?", text):
        if not re.search(rf"^(# )?{variable}=", example, re.M):
            yield f"env.example does not name {variable}"
        elif not default and not re.search(rf"^{variable}=", example, re.M):
            yield f"env.example does not ask for {variable}"


def of_files(change=lambda text: text):
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(), re.M))
    example = (DEPLOY / "env.example").read_text()
    return [
        f"{name}: {problem}"
        for name in FILES
        for problem in compose(change((DEPLOY / name).read_text()), targets, example)
    ]


def problems():
    return dockerfile((ROOT / "Dockerfile").read_text()) + of_files()


# How the files are broken, and what has to be said.
CASES = [
    ("read_only: true", "read_only: false", "is not hardened"),
    ("cap_drop: [ALL]", "cap_drop: [MKNOD]", "is not hardened"),
    ("no-new-privileges:true", "no-new-privileges:false", "is not hardened"),
    ("mem_limit: 64m", "mem_swappiness: 1", "is not bounded"),
    ("127.0.0.1:8080:8080", "8080:8080", "is published to other machines"),
    ("OBO_CLIENT_SECRET_FILE", "AZURE_CLIENT_SECRET", "a secret in the environment"),
    ("secrets: [ui-secret]", "secrets: [other]", "there is no secret other"),
    ("target: gateway", "target: gatway", "the Dockerfile has no stage gatway"),
    ("network_mode: service:", "network_mode: service:x", "there is no service of network"),
    ("${UI_CLIENT_ID", "${WEB_CLIENT_ID", "env.example does not name WEB_CLIENT_ID"),
]


def not_found():
    missed = [
        f"compose with {new!r} in place of {old!r}"
        for old, new, said in CASES
        if not any(said in problem for problem in of_files(lambda text: text.replace(old, new)))
    ]
    if not dockerfile("FROM debian\nRUN cd /tmp && apt-get install curl\n"):
        missed.append("a Dockerfile that is broken on purpose")
    return missed
