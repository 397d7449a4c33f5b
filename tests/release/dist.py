"""What scripts/release has made: complete, whole, and what it says it is. Arguments: the folder, the version, the commit."""

import hashlib
import pathlib
import subprocess
import sys
import tarfile


def main():
    folder, version, commit = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert files == set(sums), files ^ set(sums)
    for name, wanted in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted, name
    for program in ("obo-gateway", "entra-emulator", "demo-ui", "demo-backend"):
        (path,) = folder.glob(f"{program}-{version}-*-*")
        said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        assert version in said, (program, said)
        sections = subprocess.run(["readelf", "--sections", "--wide", path], capture_output=True, text=True, check=True).stdout
        assert ".symtab" not in sections and ".debug_info" not in sections, f"{program} is not stripped"
        assert (folder / f"{program}-{version}.cdx.json").stat().st_size > 10_000
        print(f"ok      {path.name}: {path.stat().st_size / 1e6:.1f} MB, stripped")
    # Which commit it is of: obo_build_info, and the log at the start.
    (gateway,) = folder.glob(f"obo-gateway-{version}-*-*")
    assert commit.encode() in gateway.read_bytes(), "the gateway does not know its commit"
    for crate in ("tower-obo", "entra-emulator"):
        with tarfile.open(folder / f"{crate}-{version}.crate") as packed:
            names = packed.getnames()
        for needed in ("Cargo.toml", "LICENSE", "README.md", "src/lib.rs", ".cargo_vcs_info.json"):
            assert f"{crate}-{version}/{needed}" in names, (crate, needed)
        print(f"ok      {crate}-{version}.crate: {len(names)} files")


if __name__ == "__main__":
    main()
