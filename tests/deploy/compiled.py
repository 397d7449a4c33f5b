"""A base for the stage of the Dockerfile that compiles, where no registry is asked: this machine's own toolchain, C compiler and
crates that cargo has fetched, mounted into an image that has next to nothing of its own."""

import os
import pathlib
import tarfile

# Where they are in there.
TOOLCHAIN, CARGO = "/toolchain", "/cargo"


def options(run, engine, bud, folder):
    """Makes localhost/builder; what `buildah bud` has to be told besides."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "root.tar", "w") as tar:
        for name in ("usr", "etc/alternatives", TOOLCHAIN[1:], f"{CARGO[1:]}/registry"):
            tar.addfile(member(name, type=tarfile.DIRTYPE, mode=0o755))
        tar.addfile(member("tmp", type=tarfile.DIRTYPE, mode=0o1777))
        for name in ("bin", "sbin", "lib", "lib64"):
            if pathlib.Path("/", name).is_symlink():
                tar.addfile(member(name, type=tarfile.SYMTYPE, linkname=f"usr/{name}"))
    # Whoever has no time for `lto = "fat"` says so by cargo's own variables.
    own = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("CARGO_PROFILE_RELEASE_")]
    (folder / "Dockerfile").write_text(
        "FROM scratch\nADD root.tar /\n"
        f"ENV PATH={TOOLCHAIN}/bin:/usr/bin CARGO_HOME={CARGO} CARGO_NET_OFFLINE=true {' '.join(own)}\n"
    )
    engine.buildah(*bud, "--tag", "localhost/builder", folder)
    registry = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo") / "registry"
    mounted = {
        "/usr": "/usr",
        "/etc/alternatives": "/etc/alternatives",
        run("rustc", "--print", "sysroot").stdout.strip(): TOOLCHAIN,
        str(registry): f"{CARGO}/registry",
    }
    volumes = [f"--volume={here}:{there}:ro" for here, there in mounted.items()]
    # The stage is run once, for all images.
    return ["--layers", "--build-arg", "BUILDER=localhost/builder", *volumes]


def member(name, **more):
    found = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(found, key, value)
    return found
