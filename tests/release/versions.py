"""The version to be released is the one that everything names. Argument: the version, where it is to be released now;
without, between releases, it is that of Cargo.toml, and the changelog may say Unreleased."""

import pathlib
import re
import sys

import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Files, and what in them is the version.
PLACES = [
    ("deploy/helm/obo-gateway/Chart.yaml", r"^version: (\S+)"),
    ("deploy/helm/obo-gateway/Chart.yaml", r"^appVersion: (\S+)"),
    ("Dockerfile", r'image.version="([^"]+)"'),
    ("deploy/kubernetes/base/kustomization.yaml", r"newTag: (\S+)"),
    ("deploy/kubernetes/overlays/standalone/kustomization.yaml", r"newTag: (\S+)"),
    ("deploy/kubernetes/overlays/sidecar-patch/sidecar.yaml", r"obo-gateway:(\d\S+)"),
    ("docs/guides/kubernetes.md", r"obo-gateway:(\d+\.\d+\.[\w.-]*\w)"),
]
# What Cargo.toml wants of this workspace.
CRATES = ("tower-obo", "entra-emulator")


def of_places(version, read):
    for path, pattern in PLACES:
        found = set(re.findall(pattern, read(path), re.M))
        if found != {version}:
            yield f"{path} names {sorted(found)}, not {version}"
    workspace = tomllib.loads(read("Cargo.toml"))["workspace"]
    for crate in CRATES:
        if workspace["dependencies"][crate].get("version") != version:
            yield f"Cargo.toml: {crate} is wanted in another version than {version}"


def of_rust(read):
    rust = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["rust-version"]
    if f"rust:{rust}-" not in read("Dockerfile"):
        yield f"the Dockerfile builds with another Rust than {rust}"
    if f"Rust ({rust} or newer)" not in read("README.md"):
        yield f"README.md names another Rust than {rust}"


def of_changelog(version, read, releasing):
    sections = re.findall(r"^## \[?([^\]\s]+)", read("CHANGELOG.md"), re.M)
    if (sections or [""])[0] != version and (releasing or sections[:1] != ["Unreleased"]):
        yield f"the first section of CHANGELOG.md is {sections[:1]}, not {version}"


def main():
    def read(path):
        return (ROOT / path).read_text()

    releasing = len(sys.argv) > 1
    version = sys.argv[1] if releasing else tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["version"]
    found = [*of_places(version, read), *of_rust(read), *of_changelog(version, read, releasing)]
    # Another version would be found out everywhere.
    missed = len(PLACES) + len(CRATES) - len(list(of_places("99.9.9", read)))
    if missed:
        found.append(f"{missed} of the places do not find out that the version is another")
    if not list(of_changelog("99.9.9", read, True)):
        found.append("a changelog without the version is not found out")
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"ok      {version} is named by everything that names a version")


if __name__ == "__main__":
    main()
