"""The chart, installed, upgraded, rolled back, tested and removed with helm."""

import json
import threading

from kube import ROOT, Failed

CHART = ROOT / "deploy/helm/obo-gateway"
WAIT = ("--wait", "--timeout", "60s")
# What helm leaves, or makes anew for each pod.
KINDS = "deployments,replicasets,pods,services,serviceaccounts,configmaps,poddisruptionbudgets,horizontalpodautoscalers,networkpolicies"


def values(shape):
    return "--values", CHART / f"ci/{shape}.yaml"


def shape(kube, name):
    """Installed until it is ready, and removed."""
    namespace = kube.namespace(f"chart-{name}")
    if name == "fleet":
        # What its values say to be there.
        kube.kubectl("-n", namespace, "create", "serviceaccount", "gateways")
    own = "-n", namespace
    done = kube.helm(*own, "install", "api", CHART, *values(name), *WAIT)
    if "warning" in done.stderr.lower():
        raise Failed(f"helm install warns: {done.stderr}")
    # Where there is an autoscaler it raises the number to its least by and by.
    kube.until("two pods", lambda: kube.rolled_out(namespace) == {"api-obo-gateway": 2})
    kube.until("pods behind the Service", lambda: kube.endpoints(namespace, "api-obo-gateway") == ({8080}, 2))
    kube.helm(*own, "uninstall", "api", *WAIT)
    gone(kube, namespace)
    return "installed (2 pods ready), and removed without a rest"


def gone(kube, namespace):
    def rest():
        return [
            f"{left['kind']} {left['metadata']['name']}"
            for left in kube.get(namespace, KINDS, "-l", "app.kubernetes.io/instance=api")
            # A pod of `helm test` is nobody's once it has run: helm leaves it.
            if "helm.sh/hook" not in left["metadata"].get("annotations", {})
        ]

    kube.until("the end of the release", lambda: not rest())


def life(kube):
    """One release through all that happens to it."""
    namespace = kube.namespace("chart")
    own = "-n", namespace
    steps = []

    def replica_sets():
        return {found["metadata"]["name"] for found in kube.get(namespace, "replicasets")}

    kube.helm(*own, "install", "api", CHART, *values("standalone"), *WAIT)
    first = replica_sets()
    steps.append(f"installed: {kube.rolled_out(namespace)['api-obo-gateway']} pods")

    kube.helm(*own, "upgrade", "api", CHART, *values("standalone"), "--set", "replicas=3", *WAIT)
    steps.append(f"upgraded: {kube.rolled_out(namespace)['api-obo-gateway']} pods")

    route = '[[route]]\npath = "/v2/*"\ndownstream = "arm"\n'
    kube.helm(*own, "upgrade", "api", CHART, "--reuse-values", "--set-string", f"configuration={route}", *WAIT)
    if "/v2/*" not in kube.one(namespace, "configmap", "api-obo-gateway")["data"]["gateway.toml"]:
        raise Failed("the ConfigMap has no new route")
    if replica_sets() != first:
        raise Failed("a new route made new pods")
    steps.append("another route: the same pods")

    kube.helm(*own, "upgrade", "api", CHART, "--reuse-values", "--set", "cacheMiB=64", *WAIT)
    if replica_sets() == first:
        raise Failed("another size of the cache made no new pods")
    steps.append("another size of the cache: new pods")

    done = kube.helm(*own, "upgrade", "api", CHART, "--reuse-values", "--set", "repicas=4", *WAIT, check=False)
    if not done.returncode or "repicas" not in done.stderr:
        raise Failed(f"a value that is not known: {done.stdout}{done.stderr}")
    steps.append("a value that is not known: refused")

    kube.helm(*own, "rollback", "api", "1", *WAIT)
    if kube.rolled_out(namespace)["api-obo-gateway"] != 2:
        raise Failed("rolled back, and not two pods")
    text = kube.one(namespace, "configmap", "api-obo-gateway")["data"]["gateway.toml"]
    if "/v2/*" in text or "134217728" not in text:
        raise Failed(f"rolled back, and the file is {text}")
    steps.append("rolled back to the first: 2 pods, its file")

    for phase, code in (("Failed", 1), ("Succeeded", 0)):
        tested(kube, namespace, phase, code)
    steps.append("helm test: what becomes of its pod is what helm says")

    kube.helm(*own, "uninstall", "api", *WAIT)
    gone(kube, namespace)
    steps.append("removed without a rest, but for the test's pod")
    return "; ".join(steps)


def tested(kube, namespace, phase, code):
    """helm test, whose pod nobody runs here: its end is told to the API server as a kubelet would."""
    outcome = {}
    asked = threading.Thread(
        target=lambda: outcome.update(done=kube.helm("-n", namespace, "test", "api", "--timeout", "60s", check=False))
    )
    before = {pod["metadata"]["uid"] for pod in kube.get(namespace, "pods")}
    asked.start()

    def running():
        pods = kube.get(namespace, "pods", "-l", "app.kubernetes.io/name=obo-gateway-test")
        return [p for p in pods if p["metadata"]["uid"] not in before and p["status"].get("phase") == "Running"]

    pod = kube.until("the test's pod", running)[0]
    arguments = pod["spec"]["containers"][0]["args"]
    if arguments[:2] != ["check", "--online"]:
        raise Failed(f"the test's pod runs {arguments}")
    patch = json.dumps({"status": {"phase": phase}})
    kube.kubectl("-n", namespace, "patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", patch)
    asked.join()
    if outcome["done"].returncode != code:
        raise Failed(f"helm test of a pod that {phase}: {outcome['done'].stdout}{outcome['done'].stderr}")
