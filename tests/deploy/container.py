"""The Dockerfile, by hadolint; what compose.yaml and compose.tenant.yaml say of each service; and the gateway's file that both mount."""

import os
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
        for volume in service.get("volumes", []):
            if not volume.startswith("./") or not (DEPLOY / volume.split(":")[0]).is_file() or not volume.endswith(":ro"):
                yield f"{name}: {volume} is no file of deploy/ that is only read"
        network = service.get("network_mode", "")
        if network and network.removeprefix("service:") not in file["services"]:
            yield f"{name}: there is no service of network {network}"
    for variable, default in re.findall(r"\$\{(\w+)(:-)?", text):
        if not re.search(rf"^(# )?{variable}=", example, re.M):
            yield f"env.example does not name {variable}"
        elif not default and not re.search(rf"^{variable}=", example, re.M):
            yield f"env.example does not ask for {variable}"


def registered(text):
    """What register.sh writes into .env counts: a service that has a value of its own for it would go by another."""
    written = re.findall(r"^(?:printf \")?(\w+)='", (DEPLOY / "entra/register.sh").read_text(), re.M)
    assert {"AZURE_TENANT_ID", "DEMO_UI_PUBLIC_URL"} <= set(written), written
    for name, service in yaml.safe_load(text)["services"].items():
        for variable, value in service.get("environment", {}).items():
            if variable in written and not value.startswith("${"):
                yield f"{name}: {variable} is not the one that register.sh writes"


def gateway(text):
    """The file that both mount, read by the gateway itself, with what they say besides."""
    ids = {"AZURE_TENANT_ID": "c0a70500-0000-4000-8000-000000000001", "AZURE_CLIENT_ID": "a9100000-0000-4000-8000-00000000000a"}
    done = subprocess.run(
        [os.environ["GATEWAY"], "check", "--config", "/dev/stdin"], input=text,
        env=ids | {"AZURE_CLIENT_SECRET": "a secret"}, capture_output=True, text=True,
    )  # fmt: skip
    return [f"demo.toml: obo-gateway check: {done.stderr}"] if done.returncode else []


def of_files(change=lambda text: text):
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(), re.M))
    example = (DEPLOY / "env.example").read_text()
    return [
        f"{name}: {problem}"
        for name in FILES
        for problem in compose(change((DEPLOY / name).read_text()), targets, example)
    ]


def problems():
    found = dockerfile((ROOT / "Dockerfile").read_text()) + of_files()
    found += registered((DEPLOY / "compose.tenant.yaml").read_text())
    return found + gateway((DEPLOY / "demo.toml").read_text())


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
    ("./demo.toml:", "./dema.toml:", "is no file of deploy/"),
    ("gateway.toml:ro", "gateway.toml", "is no file of deploy/"),
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
    tenant = (DEPLOY / "compose.tenant.yaml").read_text()
    if not list(registered(tenant.replace("${DEMO_UI_PUBLIC_URL:-http://localhost:8000}", "http://localhost:8000"))):
        missed.append("an address of the web app that is not the registered one")
    if not gateway("[[rout]]"):
        missed.append("a gateway's file that is broken on purpose")
    return missed
