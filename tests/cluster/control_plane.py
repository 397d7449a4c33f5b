"""A control plane of its own, on loopback: etcd, kube-apiserver with its controllers and scheduler, and kwok for nodes and pods."""

import json
import os
import pathlib
import secrets
import socket
import ssl
import subprocess
import time
import urllib.request

TOOLS = pathlib.Path(os.environ["TOOLS"])
PATIENCE = 120
ZONES = ("a", "b", "c")
# What the manifests are for; others have nothing to do here. (Namespaces are never emptied: the cluster is thrown away.)
CONTROLLERS = (
    "deployment-controller", "replicaset-controller", "serviceaccount-controller", "namespace-controller",
    "garbage-collector-controller", "disruption-controller", "horizontal-pod-autoscaler-controller",
    "endpointslice-controller", "root-ca-certificate-publisher-controller",
)  # fmt: skip


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class ControlPlane:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.started = []
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.kubeconfig = self.folder / "kubeconfig"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for program in reversed(self.started):
            program.terminate()
        for program in self.started:
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()

    def run(self, name, *arguments):
        log = open(self.folder / f"{name}.log", "w")
        program = subprocess.Popen([name if name == "etcd" else TOOLS / "bin" / name, *arguments], stdout=log, stderr=log, cwd=self.folder)
        self.started.append(program)
        return program

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()[-4000:]

    def start(self):
        store, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.run(
            "etcd", "--data-dir=etcd", "--unsafe-no-fsync=true", f"--listen-client-urls={store}",
            f"--advertise-client-urls={store}", f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        )  # fmt: skip
        key = self.folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.folder / "tokens").write_text(f"{self.token},admin,admin,system:masters\n")
        # No cache and no lists by watch: Debian's etcd (3.4) cannot say how far a watch has come, and each list would wait.
        apiserver = self.run(
            "kube-apiserver", f"--etcd-servers={store}", "--cert-dir=certificates", f"--secure-port={self.port}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://cluster.example.com", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--token-auth-file=tokens", "--authorization-mode=AlwaysAllow",
            "--endpoint-reconciler-type=none", "--watch-cache=false", "--feature-gates=WatchList=false",
        )  # fmt: skip
        self.until_ready(apiserver)
        self.kubeconfig.write_text(json.dumps(self.access()))
        common = f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1"
        self.run(
            "kube-controller-manager", *common, f"--secure-port={free_port()}", f"--controllers={','.join(CONTROLLERS)}",
            f"--service-account-private-key-file={key}", "--horizontal-pod-autoscaler-sync-period=2s",
        )  # fmt: skip
        self.run("kube-scheduler", *common, f"--secure-port={free_port()}")
        self.run("kwok", f"--kubeconfig={self.kubeconfig}", f"--config={TOOLS / 'stages.yaml'}", "--manage-all-nodes=true")

    def until_ready(self, apiserver):
        context = ssl._create_unverified_context()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        asked = urllib.request.Request(f"https://127.0.0.1:{self.port}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if opener.open(asked, timeout=5).status == 200:
                    return
            except OSError:
                pass
            if apiserver.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the API server is not ready:\n{self.log('kube-apiserver')}\n{self.log('etcd')}")
            time.sleep(0.2)

    def access(self):
        # The server's certificate is its own authority.
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.folder / "certificates/apiserver.crt")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }


def nodes():
    """A node in each zone; kwok keeps them ready."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": f"node-{zone}",
                "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": f"node-{zone}", "kubernetes.io/os": "linux"},
            },
            "status": {
                "allocatable": {"cpu": "32", "memory": "64Gi", "pods": "110"},
                "capacity": {"cpu": "32", "memory": "64Gi", "pods": "110"},
            },
        }
        for zone in ZONES
    ]
