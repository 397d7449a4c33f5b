"""The gateway's configuration as a pod would have it: what its volumes mount is laid out in a folder, and the
gateway itself reads it (`obo-gateway check`), with the container's arguments and variables."""

import base64
import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import tomllib

GATEWAY = os.environ["GATEWAY"]
NOBODY = "00000000-0000-0000-0000-000000000000"
WEBHOOK = "/var/run/secrets/azure/tokens"
KINDS = ("Deployment", "DaemonSet", "StatefulSet", "Pod")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def token(audience):
    """What looks like a service account's, as Kubernetes projects it."""
    claims = {"iss": "https://cluster", "sub": "system:serviceaccount:a:b", "aud": [audience], "exp": 4102444800}
    parts = (b'{"alg":"RS256","kid":"1"}', json.dumps(claims).encode(), b"x" * 256)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@functools.cache
def certificate():
    """An authority's, in PEM."""
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=authority".split()
    return subprocess.run(["openssl", *command], capture_output=True, text=True, check=True).stdout


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * UNITS[unit]


def bytes_of(quantity):
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|)", str(quantity)).groups()
    return int(number) * 1024 ** ["", "Ki", "Mi", "Gi"].index(unit)


def key(settings, path):
    for part in path.split("."):
        settings = settings.get(part, {}) if isinstance(settings, dict) else {}
    return settings or None


def gateway_of(template):
    """The container that runs the gateway, or asks it for its judgement (the chart's test), if one does."""
    spec = template["spec"]
    for container in spec.get("initContainers", []) + spec["containers"]:
        if container["name"] in ("obo-gateway", "online"):
            return container
    return None


def of_kind(documents, kind, name):
    for document in documents:
        if document["kind"] == kind and document["metadata"]["name"] == name:
            return document
    return None


def files_of(volume, documents):
    """By name what a volume holds: of a ConfigMap what stands there, of secrets and tokens something."""
    if "configMap" in volume:
        map_ = of_kind(documents, "ConfigMap", volume["configMap"]["name"])
        if map_:
            return dict(map_["data"])
        # One that is there already, as the values say, and has an authority's certificate.
        items = volume["configMap"].get("items", [])
        return {item["path"]: certificate() for item in items if item["path"].endswith(".crt")}
    if "secret" in volume:
        items = volume["secret"].get("items")
        return {item["path"]: "x" * 44 for item in items} if items else {"key": "x" * 44, "client-secret": "x" * 44}
    if "projected" in volume:
        sources = [source["serviceAccountToken"] for source in volume["projected"]["sources"]]
        return {source["path"]: token(source.get("audience", "https://cluster")) for source in sources}
    return {}


def settings_of(template, documents):
    for volume in template["spec"].get("volumes", []):
        text = files_of(volume, documents).get("gateway.toml")
        if text:
            try:
                return tomllib.loads(text)
            except tomllib.TOMLDecodeError:
                return {}
    return {}


def problems(documents):
    found = []
    for document in documents:
        # A pod by itself is the chart's test.
        template = document if document["kind"] == "Pod" else document.get("spec", {}).get("template")
        if document["kind"] in KINDS and gateway_of(template):
            found += of_pod(f"{document['kind']} {document['metadata']['name']}", template, documents)
    return found


def of_pod(name, template, documents):
    container = gateway_of(template)
    volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
    variables = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    with tempfile.TemporaryDirectory() as root:
        mounts = {}
        for mount in container.get("volumeMounts", []):
            mounts[mount["mountPath"]] = files_of(volumes.get(mount["name"], {}), documents)
        metadata = template["metadata"]
        if metadata["labels"].get("azure.workload.identity/use") == "true":
            # What the webhook adds to a pod with this label.
            mounts[WEBHOOK] = {"azure-identity-token": token("api://AzureADTokenExchange")}
            variables |= {
                "AZURE_TENANT_ID": NOBODY,
                "AZURE_CLIENT_ID": NOBODY,
                "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
                "AZURE_FEDERATED_TOKEN_FILE": f"{WEBHOOK}/azure-identity-token",
            }

        def inside(text):
            for path in mounts:
                text = text.replace(path + "/", f"{root}{path}/")
            return text

        for path, files in mounts.items():
            folder = pathlib.Path(root + path)
            folder.mkdir(parents=True, exist_ok=True)
            for file, text in files.items():
                (folder / file).write_text(inside(text))
        # Whatever it is started for: with the network the test of the chart does the rest.
        arguments = [argument for argument in container.get("args", []) if argument not in ("check", "--online")]
        done = subprocess.run(
            [GATEWAY, "check", *map(inside, arguments)],
            env={variable: inside(value) for variable, value in variables.items()},
            capture_output=True,
            text=True,
        )
        if done.returncode == 0 and "gateway.toml" not in sum((list(f) for f in mounts.values()), []):
            return [f"{name}: no gateway.toml is mounted"]
        if done.returncode:
            return [f"{name}: obo-gateway check: {done.stderr.strip()}".replace(root, "")]
    return []
