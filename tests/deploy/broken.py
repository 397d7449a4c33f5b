"""Manifests that are broken on purpose, one thing each: a check that does not find it is none. They are made
from what deploy/ renders, so that nothing else is wrong with them."""

import copy
import json
import re
import subprocess

import container
import entra
import examples
import guides
import monitoring
import render
import units

BASE = "deploy/kubernetes/base"
STANDALONE = "deploy/kubernetes/overlays/standalone"
COMPONENTS = "overlays/standalone with all components"
MONITORING = "deploy/kubernetes/overlays/monitoring"
CHART = "chart with standalone.yaml"
POLICY = "deploy/kubernetes/overlays/network-policy"
IDENTITY = "deploy/kubernetes/overlays/workload-identity"


def one(documents, kind, name=None):
    return next(d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"]))


def pod(documents):
    return one(documents, "Deployment")["spec"]["template"]["spec"]


def gateway(documents):
    spec = pod(documents)
    both = spec.get("initContainers", []) + spec["containers"]
    return next(container for container in both if container["name"] == "obo-gateway")


def app(documents):
    return pod(documents)["containers"][0]


def toml(documents, old, new):
    toml_of(documents, "obo-gateway", old, new)


def toml_of(documents, name, old, new):
    data = one(documents, "ConfigMap", name)["data"]
    assert old in data["gateway.toml"], old
    data["gateway.toml"] = data["gateway.toml"].replace(old, new)


def token(documents):
    return next(v for v in pod(documents)["volumes"] if "projected" in v)["projected"]["sources"][0]["serviceAccountToken"]


def dashboard(documents, old, new):
    data = one(documents, "ConfigMap", "obo-gateway-dashboard")["data"]
    assert old in data["obo-gateway.json"], old
    data["obo-gateway.json"] = data["obo-gateway.json"].replace(old, new)


def alert(documents, old, new):
    groups = one(documents, "PrometheusRule")["spec"]["groups"]
    text = json.dumps(groups)
    assert old in text, old
    groups[:] = json.loads(text.replace(old, new))


def peer(documents):
    return one(documents, "NetworkPolicy", "obo-gateway-redis")["spec"]["ingress"][0]["from"][0]["podSelector"]


def unmount(d, path):
    mounts = gateway(d)["volumeMounts"]
    mounts[:] = [mount for mount in mounts if mount["mountPath"] != path]


# (what it is made from, how it is broken, a part of what has to be said about it)
CASES = [
    # schemas
    (BASE, lambda d: pod(d)["containers"][0]["readinessProbe"].update(exec={"command": ["x"]}), "2 handlers"),
    (BASE, lambda d: pod(d).update(restartPolcy="Always"), "Kubernetes 1.29: Additional properties"),
    (BASE, lambda d: pod(d).update(restartPolcy="Always"), "Kubernetes 1.37: Additional properties"),
    (BASE, lambda d: one(d, "Deployment")["spec"].update(replicas="two"), "'two'"),
    (STANDALONE, lambda d: one(d, "HorizontalPodAutoscaler")["spec"].pop("maxReplicas"), "'maxReplicas' is a required"),
    (MONITORING, lambda d: one(d, "ServiceMonitor")["spec"]["endpoints"][0].update(intervall="30s"), "'intervall' was unexpected"),
    (MONITORING, lambda d: one(d, "PrometheusRule")["spec"]["groups"][0]["rules"][0].pop("expr"), "'expr' is a required"),
    # the standard `restricted`, and what we add to it
    (BASE, lambda d: pod(d)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot is not true"),
    (BASE, lambda d: pod(d)["securityContext"].update(runAsUser=0), "runAsNonRoot is not true"),
    (BASE, lambda d: gateway(d)["securityContext"].update(runAsUser=0), "it runs as root"),
    (BASE, lambda d: pod(d)["securityContext"].pop("seccompProfile"), "no seccompProfile"),
    (BASE, lambda d: pod(d).pop("automountServiceAccountToken"), "automountServiceAccountToken"),
    (BASE, lambda d: pod(d).update(hostNetwork=True), "hostNetwork"),
    (BASE, lambda d: pod(d)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "a kind that is not allowed"),
    (BASE, lambda d: gateway(d)["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
    (BASE, lambda d: gateway(d)["securityContext"].pop("readOnlyRootFilesystem"), "readOnlyRootFilesystem"),
    (BASE, lambda d: gateway(d)["securityContext"].pop("capabilities"), "capabilities are not dropped"),
    (BASE, lambda d: gateway(d)["volumeMounts"][0].pop("readOnly"), "may be written to"),
    (BASE, lambda d: gateway(d)["volumeMounts"][0].update(name="none"), "there is no volume none"),
    (BASE, lambda d: gateway(d)["resources"]["limits"].pop("memory"), "no resources.limits.memory"),
    (BASE, lambda d: app(d)["resources"]["requests"].pop("cpu"), "no resources.requests.cpu"),
    (BASE, lambda d: gateway(d).pop("readinessProbe"), "no readinessProbe"),
    (BASE, lambda d: app(d).pop("livenessProbe"), "no livenessProbe"),
    (BASE, lambda d: gateway(d).update(image="obo-gateway:latest"), "has no version"),
    (BASE, lambda d: app(d).update(image="registry.example.com/demo-backend"), "has no version"),
    (BASE, lambda d: app(d)["env"].append({"name": "X", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}), "a secret in the environment (X)"),
    (BASE, lambda d: app(d)["env"].append({"name": "AZURE_CLIENT_SECRET", "value": "b"}), "a secret in the environment (AZURE_CLIENT_SECRET)"),
    (BASE, lambda d: app(d).update(envFrom=[{"secretRef": {"name": "a"}}]), "(envFrom)"),
    # the gateway and the service in one pod
    (BASE, lambda d: app(d).pop("lifecycle"), "no preStop pause"),
    (BASE, lambda d: pod(d).update(terminationGracePeriodSeconds=30), "terminationGracePeriodSeconds is less than the 64 s"),
    (BASE, lambda d: pod(d).update(terminationGracePeriodSeconds=63), "terminationGracePeriodSeconds is less than the 64 s"),
    (BASE, lambda d: app(d).update(ports=[{"name": "x", "containerPort": 3000}]), "has ports of its own"),
    (BASE, lambda d: toml(d, ":8080", ":8081"), "none of the container's ports"),
    (BASE, lambda d: toml(d, "67108864", "167108864"), "less than 64 MiB"),
    (BASE, lambda d: one(d, "Service")["spec"]["ports"][0].update(targetPort=3000), "no container listens on 3000"),
    (BASE, lambda d: one(d, "Service")["spec"].update(selector={"app": "x"}), "Service api selects no pod"),
    (POLICY, lambda d: one(d, "NetworkPolicy")["spec"]["podSelector"].update(matchLabels={"a": "b"}), "NetworkPolicy obo-gateway selects no pod"),
    (STANDALONE, lambda d: peer(d).update(matchLabels={"obo-gatway": "true"}), "is no pod here"),
    (STANDALONE, lambda d: one(d, "PodDisruptionBudget")["spec"]["selector"].update(matchLabels={"a": "b"}), "selects no pod"),
    (STANDALONE, lambda d: one(d, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="x"), "scales what is not there"),
    (MONITORING, lambda d: one(d, "ServiceMonitor")["spec"]["endpoints"][0].update(port="x"), "no service has a port x"),
    (STANDALONE, lambda d: pod(d)["volumes"][-1]["secret"].pop("defaultMode"), "can be read by every user"),
    # the gateway's own judgement
    (BASE, lambda d: toml(d, "[accept]", "[acept]"), "acept"),
    (BASE, lambda d: toml(d, "expose = true", "expose = false"), "admin.listen"),
    (BASE, lambda d: toml(d, "tokens/entra", "tokens/other"), "entra.credential.federated_token_file"),
    (BASE, lambda d: unmount(d, "/var/run/secrets/obo-gateway/tokens"), "entra.credential.federated_token_file"),
    (BASE, lambda d: token(d).update(audience="api://other"), "api://AzureADTokenExchange"),
    (BASE, lambda d: gateway(d).update(args=["--lissten=0.0.0.0:8080"]), "--lissten"),
    (BASE, lambda d: one(d, "ConfigMap")["metadata"].update(name="other"), "gateway.toml"),
    (STANDALONE, lambda d: toml(d, "https://api.internal", "http://api.internal"), "allow_plaintext_upstream"),
    (STANDALONE, lambda d: unmount(d, "/run/secrets/redis"), "/run/secrets/redis/key cannot be read"),
    (IDENTITY, lambda d: one(d, "Deployment")["spec"]["template"]["metadata"]["labels"].pop("azure.workload.identity/use"), "entra.tenant"),
    (CHART, lambda d: toml_of(d, "test-obo-gateway", "[accept]", "[acept]"), "Pod test-obo-gateway-test: obo-gateway check"),
    (IDENTITY, lambda d: app(d).update(name="other"), "skip-containers names api, which is no container"),
    # metrics that the gateway does not export
    (COMPONENTS, lambda d: one(d, "HorizontalPodAutoscaler")["spec"]["metrics"][1]["pods"]["metric"].update(name="obo_inflight"), "no metric obo_inflight"),
    (MONITORING, lambda d: one(d, "PrometheusRule")["spec"]["groups"][0]["rules"][1].update(expr="obo_redy == 0"), "no metric obo_redy"),
    (MONITORING, lambda d: dashboard(d, "obo_cache_bytes", "obo_cache_bites"), "no metric obo_cache_bites"),
    (MONITORING, lambda d: dashboard(d, "sum by (outcome", "sum by (outcme"), "has a label outcme"),
    (MONITORING, lambda d: dashboard(d, "{{outcome}}", "{{outcme}}"), "the label outcme that it shows"),
    (MONITORING, lambda d: alert(d, "$labels.upstream", "$labels.upsteam"), "the label upsteam that it shows"),
    (MONITORING, lambda d: alert(d, "ignoring (cache)", "ignoring (cach)"), "has a label cach"),
    (MONITORING, lambda d: dashboard(d, 'listener=\\"public', 'lisener=\\"public'), "has no label lisener"),
]

# Values of the chart that are refused, and what has to be said about them.
VALUES = [
    ("image.tag=latest", "image.tag"),
    ("replicas=two", "replicas"),
    ("repicas=2", "repicas"),
    ("entra.tenant=contoso", "entra.tenant"),
    ("entra.tenant=", "entra.tenant is needed"),
    ("entra.clientId=", "entra.clientId is needed"),
    ("upstream=", "upstream is needed"),
    ("upstream=api.internal", "upstream"),
    ("credential.kind=secret", "credential.secretName is needed"),
    ("redis.url=rediss://:secret@cache:6380", "redis.url"),
    ("redis.url=rediss://cache:6380", "redis.keySecretName is needed"),
    ("redis.url=redis://cache:6379,redis.keySecretName=a,redis.caConfigMap=b", "redis.caConfigMap is for"),
    ("redis.caConfigMap=b", "redis.caConfigMap is for"),
    ("resources.limits=null", "limits"),
    ("mode=sidecar", "app is needed"),
    ("mode=sidecar,app.image=a:1,autoscaling.enabled=true", "app.resources.requests.cpu is needed"),
    ("serviceAccount.create=false", "serviceAccount.name is needed"),
    ("credential.audience=api://other", "credential.audience"),
    ("entra.authority=https://login.microsoftonline.us", "credential.audience is api://AzureADTokenExchangeUSGov"),
    ("entra.authority=https://login.partner.microsoftonline.cn/", "credential.audience is api://AzureADTokenExchangeChina"),
    ("credential.audience=api://AzureADTokenExchangeChina", "credential.audience is api://AzureADTokenExchange in"),
    ("trustedProxies[0]=ingress", "trustedProxies"),
    ("trustedProxies[0]=10.244.0.0/33", "trustedProxies"),
    ("trustedProxies[0]=fd00::/129", "trustedProxies"),
    ("monitoring.labels.release=1", "monitoring.labels.release"),
    ("extraEnv[0].name=A,extraEnv[0].valueFrom.secretKeyRef.name=b", "extraEnv"),
    ("extraVolumes[0].name=a,extraVolumes[0].hostPath.path=b", "extraVolumes"),
    ("extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=b", "readOnly"),
]


# Values that are taken, and what is then rendered.
TAKEN = [
    ("trustedProxies[0]=10.244.0.0/16,trustedProxies[1]=fd00::/64,trustedProxies[2]=::1", '["10.244.0.0/16","fd00::/64","::1"]'),
    ("entra.authority=https://login.microsoftonline.us,credential.audience=api://AzureADTokenExchangeUSGov", "USGov"),
    # What an authority of one's own wants is its own affair.
    ("entra.authority=https://entra.example.com,credential.audience=api://AzureADTokenExchangeChina", "China"),
    # `--reuse-values` of a chart that did not have them.
    ("serviceAccount.create=null", "kind: ServiceAccount"),
    ("credential.audience=null", "audience: api://AzureADTokenExchange\n"),
    ("redis.url=rediss://cache:6380,redis.keySecretName=a,redis.caConfigMap=authority", 'redis_ca_file  = "/etc/redis-authority/ca.crt"'),
    # `--reuse-values` of a chart that did not have it.
    ("redis.url=rediss://cache:6380,redis.keySecretName=a,redis.caConfigMap=null", "redis_key_file"),
    # Kubernetes takes the limit for the request.
    ("mode=sidecar,upstream=,app.image=a:1,autoscaling.enabled=true,app.resources.limits.cpu=1", "cpu: 1\n"),
]
# Values with another one of which there have to be new pods.
RESTARTED = ("cacheMiB=64", "redis.url=rediss://cache:6380,redis.keySecretName=a", "trustedProxies[0]=10.244.7.3")


def template(setting):
    command = [*render.TEMPLATE, "--values", render.CHART / "ci/standalone.yaml", "--set", setting]
    return subprocess.run(command, capture_output=True, text=True)


def values_that_fail():
    for setting, said in TAKEN:
        done = template(setting)
        if done.returncode or said not in done.stdout:
            yield f"the chart with {setting}: {done.stderr.strip() or f'{said!r} is not rendered'}"


def values_without_new_pods():
    def restart(setting):
        return re.findall("obo-gateway/restart: .*", template(setting).stdout)

    for setting in RESTARTED:
        if not restart(setting) or restart(setting) == restart("replicas=2"):
            yield f"the chart with {setting} makes no new pods"


def values_that_pass():
    for setting, said in VALUES:
        done = template(setting)
        # The schema speaks of paths with slashes or with dots, by the version of helm.
        told = done.stderr.replace("/", ".")
        if done.returncode == 0 or said.replace("/", ".") not in told:
            yield f"the chart with {setting}: {done.stderr.strip() or 'rendered'}"


def not_found(rendered, check):
    """What the checks miss."""
    missed = []
    before = {source: check(rendered[source]) for source in {case[0] for case in CASES}}
    for number, (source, spoil, said) in enumerate(CASES):
        documents = copy.deepcopy(rendered[source])
        spoil(documents)
        found = [problem for problem in check(documents) if problem not in before[source]]
        if not any(said in problem for problem in found):
            missed.append(f"case {number} ({said!r}) of {source}: found {found or 'nothing'}")
    if not monitoring.dashboard(json.dumps({"panels": [{"title": "x", "targets": [{"expr": "sum(("}]}]})):
        missed.append("an expression of the dashboard that is no PromQL")
    missed += [*values_that_pass(), *values_that_fail(), *values_without_new_pods()]
    return missed + units.not_found() + container.not_found() + examples.not_found() + guides.not_found() + entra.not_found()
