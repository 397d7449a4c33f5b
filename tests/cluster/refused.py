"""Manifests that are broken on purpose, each in one thing: the cluster refuses them, and says why."""

import copy

import yaml
from kube import ROOT, Failed


def deployment(documents):
    return next(d for d in documents if d["kind"] == "Deployment")


def spec(documents):
    return deployment(documents)["spec"]["template"]["spec"]


# (what is broken, how, what has to be said): refused by the API server at once ...
AT_ONCE = [
    ("a misspelt field", lambda d: spec(d).update(restartPolcy="Always"), "restartPolcy"),
    ("a probe of two kinds", lambda d: spec(d)["containers"][0]["readinessProbe"].update(tcpSocket={"port": 8080}), "may not specify more than 1 handler type"),
    ("a mount without its volume", lambda d: spec(d)["volumes"].pop(), "Not found"),
    ("a selector that is not its pods'", lambda d: deployment(d)["spec"]["selector"].update(matchLabels={"a": "b"}), "selector"),
    ("a pause of no length", lambda d: spec(d)["containers"][0]["lifecycle"]["preStop"]["sleep"].update(seconds=-1), "must be non-negative"),
]
# ... and where the pods are made.
OF_PODS = [
    ("a gateway that may be root", lambda d: [spec(d)["securityContext"].pop("runAsNonRoot"), spec(d)["securityContext"].pop("runAsUser")], "runAsNonRoot"),
    ("a gateway with capabilities", lambda d: spec(d)["initContainers"][0]["securityContext"].pop("capabilities"), "capabilities"),
    ("a directory of the machine", lambda d: spec(d)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "hostPath"),
    ("no seccomp profile", lambda d: spec(d)["securityContext"].pop("seccompProfile"), "seccompProfile"),
    ("a service account that is not there", lambda d: spec(d).update(serviceAccountName="nobody"), 'serviceaccount "nobody" not found'),
]  # fmt: skip


def at_once(kube, base):
    namespace = kube.namespace("refused-at-once")
    for what, spoil, said in AT_ONCE:
        documents = copy.deepcopy(base)
        spoil(documents)
        done = kube.apply(namespace, documents, check=False)
        if not done.returncode or said not in done.stderr:
            raise Failed(f"{what}: {done.stdout}{done.stderr}")
        kube.kubectl("-n", namespace, "delete", "deployments,services,configmaps,serviceaccounts", "-l", "app.kubernetes.io/part-of=obo-gateway")
    return "; ".join(what for what, _, _ in AT_ONCE)


def of_pods(kube, base):
    for number, (what, spoil, said) in enumerate(OF_PODS):
        namespace = kube.namespace(f"refused-{number}")
        documents = copy.deepcopy(base)
        spoil(documents)
        # Pod Security warns of the Deployment, which is taken all the same.
        kube.apply(namespace, documents, check=False)

        def told():
            events = kube.get(namespace, "events")
            return [e["message"] for e in events if e["reason"] == "FailedCreate" and said in e["message"]]

        kube.until(f"{what}: a word of it", told)
        if kube.get(namespace, "pods"):
            raise Failed(f"{what}: there are pods")
    return "; ".join(what for what, _, _ in OF_PODS)


def careless_patch(kube):
    """The patch without what takes away a service's own probes is refused: that is what its nulls are for."""
    namespace = kube.namespace("refused-patch")
    folder = ROOT / "deploy/kubernetes/overlays/sidecar-patch"
    kube.apply(namespace, (folder / "my-api.yaml").read_text())
    patch = yaml.safe_load((folder / "sidecar.yaml").read_text())
    container = patch["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"] = {key: value for key, value in container["readinessProbe"].items() if value is not None}
    done = kube.kubectl("-n", namespace, "patch", "deployment", "my-api", "--patch", yaml.safe_dump(patch), check=False)
    if not done.returncode or "may not specify more than 1 handler type" not in done.stderr:
        raise Failed(f"{done.stdout}{done.stderr}")
    return "a probe of two kinds, by a patch that leaves the service's own"
