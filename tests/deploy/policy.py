"""What every pod here has to be: fit for a namespace that enforces the standard `restricted`, bounded, probed,
with no secret in its environment, and given the time to end that its configuration takes. And that what
selects pods selects some."""

import re

import configuration

# The kinds that the standard `restricted` allows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|_KEY$|CREDENTIAL")
# For whom a federated token is, in each cloud.
AUDIENCES = {"api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov", "api://AzureADTokenExchangeChina"}
# Annotations that name containers.
NAMING = ("azure.workload.identity/skip-containers", "kubectl.kubernetes.io/default-container")
# Of what a hook has one.
HANDLERS = {"exec", "grpc", "httpGet", "sleep", "tcpSocket"}
# The last lines of each of three logs, and the last spans: docs/operations.md.
FAREWELL = 9
# What a service beside the gateway has to end in, as the manifests promise.
SERVICE = 30


# A peer that the component names for the overlay that has it.
OPTIONAL = {"app.kubernetes.io/name": "obo-gateway-redis"}.items()


def pods(documents):
    """(name, template) of all pods that run for long; and of the chart's test, with run = once."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, document, False
        elif "template" in document.get("spec", {}):
            yield name, document["spec"]["template"], True


def containers(template):
    spec = template["spec"]
    for container in spec.get("initContainers", []):
        yield container, container.get("restartPolicy") == "Always"
    for container in spec["containers"]:
        yield container, True


def of_pod(name, template, lasts):
    spec = template["spec"]
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        yield f"{name}: securityContext.runAsNonRoot is not true"
    if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{name}: no seccompProfile"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{name}: automountServiceAccountToken is not false"
    for host in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(host):
            yield f"{name}: {host}"
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for volume in volumes.values():
        if not VOLUMES & set(volume):
            yield f"{name}: volume {volume['name']} is of a kind that is not allowed"
        if "secret" in volume and volume["secret"].get("defaultMode", 0o644) & 0o007:
            yield f"{name}: the files of volume {volume['name']} can be read by every user (defaultMode: 0440)"
        for source in volume.get("projected", {}).get("sources", []):
            audience = source.get("serviceAccountToken", {}).get("audience")
            if audience not in AUDIENCES:
                yield f"{name}: a token for {audience}, which Entra ID takes for none of {sorted(AUDIENCES)}"
    named = {container["name"] for container, _ in containers(template)}
    for annotation in NAMING:
        for other in filter(None, template["metadata"].get("annotations", {}).get(annotation, "").split(";")):
            if other not in named:
                yield f"{name}: {annotation} names {other}, which is no container"
    for container, long in containers(template):
        for problem in of_container(container, long and lasts):
            yield f"{name}, container {container['name']}: {problem}"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{name}, container {container['name']}: there is no volume {mount['name']}"
            if not mount.get("readOnly") and "emptyDir" not in volumes.get(mount["name"], {}):
                yield f"{name}, container {container['name']}: {mount['mountPath']} may be written to"


def of_container(container, lasts):
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "readOnlyRootFilesystem is not true"
    if security.get("capabilities", {}) != {"drop": ["ALL"]}:
        yield "capabilities are not dropped"
    if security.get("privileged") or security.get("runAsUser") == 0 or security.get("runAsNonRoot") is False:
        yield "it runs as root"
    resources = container.get("resources", {})
    for bound in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if resource not in resources.get(bound, {}):
                yield f"no resources.{bound}.{resource}"
    for probe in ("readinessProbe", "livenessProbe") if lasts else ():
        if probe not in container:
            yield f"no {probe}"
    if not re.search(r":[\w.-]+$|@sha256:", container["image"]) or container["image"].endswith(":latest"):
        yield f"image {container['image']} has no version"
    for variable in container.get("env", []):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"a secret in the environment ({variable['name']}): mount it as a file"
        elif SECRET.search(variable["name"]) and not variable["name"].endswith("_FILE"):
            yield f"a secret in the environment ({variable['name']})"
    for source in container.get("envFrom", []):
        if "secretRef" in source:
            yield "secrets in the environment (envFrom): mount them as files"


def of_gateway(name, template, documents):
    """The app is behind the gateway, and both have the time to end."""
    spec = template["spec"]
    gateway = configuration.gateway_of(template)
    if gateway is None or gateway["name"] != "obo-gateway":
        return
    settings = configuration.settings_of(template, documents)
    drain = configuration.seconds(settings.get("drain_timeout", "30s"))
    pauses = [
        container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        for container, _ in containers(template)
    ]
    beside = gateway in spec.get("initContainers", [])
    # A sidecar ends after the service, whose pause has to be its own.
    if not spec["containers"][0].get("lifecycle", {}).get("preStop"):
        yield f"{name}: no preStop pause before the end of {spec['containers'][0]['name']}"
    needed = max(pauses) + (SERVICE if beside else 0) + drain + FAREWELL
    if spec.get("terminationGracePeriodSeconds", 30) < needed:
        yield f"{name}: terminationGracePeriodSeconds is less than the {needed:g} s that pause,{' service,' * beside} drain_timeout and farewell take"
    own = {port["containerPort"] for port in gateway.get("ports", [])}
    for container, _ in containers(template):
        # Patches merge what a service had before, and the API server takes one of a kind.
        hooks = [container.get(probe) for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
        hooks += container.get("lifecycle", {}).values()
        for hook in filter(None, hooks):
            kinds = sorted(HANDLERS & hook.keys())
            if len(kinds) != 1:
                yield f"{name}: container {container['name']} has a hook with {len(kinds)} handlers {kinds}"
        if container is not gateway and container.get("ports"):
            yield f"{name}: container {container['name']} has ports of its own beside the gateway"
    for key in ("listen", "admin.listen"):
        value = configuration.key(settings, key)
        if value and int(value.rsplit(":", 1)[1]) not in own:
            yield f"{name}: {key} = {value} is none of the container's ports {sorted(own)}"
    cache = configuration.key(settings, "cache.max_bytes") or 268435456
    limit = gateway.get("resources", {}).get("limits", {}).get("memory")
    if limit and configuration.bytes_of(limit) < cache + 64 * 1024 * 1024:
        yield f"{name}: cache.max_bytes ({cache}) leaves less than 64 MiB of the limit of memory ({limit})"


def of_selectors(documents):
    templates = [template for _, template, lasts in pods(documents) if lasts]
    labels = [template["metadata"]["labels"] for template in templates]
    deployments = {d["metadata"]["name"] for d in documents if d["kind"] == "Deployment"}
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        spec = document.get("spec", {})
        selector = {
            "Service": lambda: spec["selector"],
            "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"],
        }.get(document["kind"])
        if selector:
            wanted = selector().items()
            chosen = [t for t, own in zip(templates, labels) if wanted <= own.items()]
            if not chosen:
                yield f"{name} selects no pod"
            if document["kind"] == "Service":
                yield from of_service(name, spec, chosen)
            if document["kind"] == "NetworkPolicy":
                yield from of_peers(name, spec, labels)
        if document["kind"] == "ServiceMonitor":
            wanted = spec["selector"]["matchLabels"].items()
            ports = {
                port["name"]
                for service in documents
                if service["kind"] == "Service" and wanted <= service["metadata"].get("labels", {}).items()
                for port in service["spec"]["ports"]
            }
            for endpoint in spec["endpoints"]:
                if endpoint["port"] not in ports:
                    yield f"{name}: no service has a port {endpoint['port']}"
        if document["kind"] == "HorizontalPodAutoscaler" and spec["scaleTargetRef"]["name"] not in deployments:
            yield f"{name} scales what is not there"


def of_peers(name, spec, labels):
    """Peers in the same namespace are pods that are here (Redis where the overlay has one); others are the cluster's."""
    for rule in spec.get("ingress", []) + spec.get("egress", []):
        for peer in rule.get("from", []) + rule.get("to", []):
            if not {"namespaceSelector", "podSelector", "ipBlock"} & peer.keys():
                yield f"{name}: a peer that is nobody ({peer})"
            if "podSelector" not in peer or "namespaceSelector" in peer:
                continue
            wanted = peer["podSelector"]["matchLabels"].items()
            if not any(wanted <= own.items() for own in labels) and wanted != OPTIONAL:
                yield f"{name}: its peer {dict(wanted)} is no pod here"


def of_service(name, spec, templates):
    for template in templates:
        ports = {
            known
            for container, _ in containers(template)
            for port in container.get("ports", [])
            for known in (port["containerPort"], port["name"])
        }
        for port in spec["ports"]:
            if port.get("targetPort", port["port"]) not in ports:
                yield f"{name}: no container listens on {port.get('targetPort')}"


def problems(documents):
    found = []
    for name, template, lasts in pods(documents):
        found += of_pod(name, template, lasts)
        found += of_gateway(name, template, documents)
    found += of_selectors(documents)
    return found
