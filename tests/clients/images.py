"""Container images out of nothing.

No image can be downloaded where these tests run, so they are written here: layers as tar
streams, configurations, manifests and indexes, kept in an OCI image layout that every client can
read. Everything is the same on each run, so a digest can be predicted.

A layer or a file system is also described as a "tree", a dict from path to what is there, so that
what a client unpacked can be compared with what was pushed.
"""

import functools
import gzip
import hashlib
import io
import json
import os
import platform
import random
import stat
import tarfile
import zlib
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ANY_MANIFEST = ", ".join((INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))

BUSYBOX = "/bin/busybox"
WHEN = 1700000000  # seconds since 1970: the age of every file in every layer

# What Go calls the machine the tests run on: (architecture, variant).
HERE = {
    "x86_64": ("amd64", None),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "riscv64": ("riscv64", None),
}[platform.machine()]


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_sha256(path):
    with open(path, "rb") as f:
        return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest()


def noise(size, seed):
    """Bytes that do not compress and are the same on each run."""
    return random.Random(seed).randbytes(size)


# Layers: name -> content, a short way to write a tar stream. ------------------------------------


def directory(mode=0o755):
    return {"type": tarfile.DIRTYPE, "mode": mode}


def file(data, mode=0o644, uid=0, gid=0):
    data = data.encode() if isinstance(data, str) else data
    return {"type": tarfile.REGTYPE, "mode": mode, "data": data, "uid": uid, "gid": gid}


def symlink(target):
    return {"type": tarfile.SYMTYPE, "mode": 0o777, "linkname": target}


def hardlink(target):
    return {"type": tarfile.LNKTYPE, "mode": 0o755, "linkname": target}


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, entry in entries.items():
            info = tarfile.TarInfo(name)
            info.mtime = WHEN
            data = entry.get("data", b"")
            for key, value in entry.items():
                if key != "data":
                    setattr(info, key, value)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def busybox():
    return Path(BUSYBOX).read_bytes()


@functools.cache
def root_layers():
    """Three layers of one root file system, as tar streams.

    They have what a client can get wrong when it unpacks: links of both kinds, a name longer than
    a tar header, one outside ASCII, a set-user-id bit, owners, an empty file and an empty folder,
    a file replaced and one removed by a later layer.
    """
    base = {
        "bin": directory(),
        "bin/busybox": file(busybox(), 0o755),
        "bin/sh": symlink("busybox"),
        "bin/ls": hardlink("bin/busybox"),
        "etc": directory(),
        "etc/passwd": file("root:x:0:0:root:/root:/bin/sh\n"),
        "etc/motd": file("the first layer wrote this\n"),
        "etc/removed": file("nobody should see this\n"),
        "root": directory(0o700),
    }
    middle = {
        "usr": directory(),
        "usr/bin": directory(),
        "usr/bin/su": file(noise(4096, 1), 0o4755),
        "usr/share": directory(),
        "usr/share/" + "long-" * 30: file("a name longer than a header's field\n"),
        "usr/share/grüße-世界": file("a name outside ASCII\n"),
        "usr/share/noise": file(noise(3 * 1024 * 1024 + 17, 2), 0o600, uid=1000, gid=100),
        "usr/share/empty": file(b""),
        "var": directory(),
        "var/spool": directory(0o1777),
    }
    top = {
        "etc": directory(),
        "etc/motd": file("the last layer wrote this\n"),
        "etc/.wh.removed": file(b""),
    }
    return tar(base), tar(middle), tar(top)


# Trees ------------------------------------------------------------------------------------------


def tree_of_tar(stream, onto=None):
    """What a tar stream (bytes or a file) makes of the tree onto, white-outs applied."""
    tree = dict(onto or {})
    stream = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    with tarfile.open(fileobj=stream, mode="r|*") as t:
        for member in t:
            name = os.path.normpath(member.name)
            folder, base = os.path.split(name)
            if base.startswith(".wh."):
                gone = os.path.join(folder, base[len(".wh."):])
                for path in [p for p in tree if p == gone or p.startswith(gone + "/")]:
                    del tree[path]
            elif member.isdir():
                tree[name] = ("folder", member.mode & 0o7777, member.uid, member.gid)
            elif member.issym():
                tree[name] = ("symlink", member.linkname)
            elif member.islnk():
                tree[name] = tree[os.path.normpath(member.linkname)]
            else:
                content = hashlib.file_digest(t.extractfile(member), "sha256").hexdigest()
                tree[name] = ("file", member.mode & 0o7777, member.uid, member.gid, content)
    tree.pop(".", None)
    return tree


def tree_of_folder(top):
    """The same for a folder on the disk."""
    tree = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            who = (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid)
            if stat.S_ISLNK(st.st_mode):
                entry = ("symlink", os.readlink(path))
            elif stat.S_ISDIR(st.st_mode):
                entry = ("folder", *who)
            else:
                entry = ("file", *who, file_sha256(path)[len("sha256:"):])
            tree[os.path.relpath(path, top)] = entry
    return tree


def tree_of_layers(layers):
    tree = {}
    for layer in layers:
        tree = tree_of_tar(layer, tree)
    return tree


# An OCI image layout ----------------------------------------------------------------------------


class Layout:
    """A folder that skopeo knows as oci:FOLDER:TAG."""

    def __init__(self, path):
        self.path = Path(path)
        self.blobs = self.path / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._tags = {}
        self._write_index()

    def ref(self, tag):
        return f"oci:{self.path}:{tag}"

    def _write_index(self):
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(self._tags.values())}
        (self.path / "index.json").write_text(json.dumps(index))

    def blob(self, data, media_type):
        digest = sha256(data)
        self.blob_path(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def json(self, value, media_type):
        return self.blob(json.dumps(value, separators=(",", ":")).encode(), media_type)

    def blob_path(self, digest):
        return self.blobs / digest[len("sha256:"):]

    def read(self, digest):
        return self.blob_path(digest).read_bytes()

    def layer(self, stream, packed=True):
        """A tar stream as a layer: its descriptor and its diff_id."""
        if not packed:
            return self.blob(stream, LAYER), sha256(stream)
        return self.blob(gzip.compress(stream, 1, mtime=0), LAYER + "+gzip"), sha256(stream)

    def big_layer(self, size):
        """A layer with one file of this size, too big to be held in memory; as layer() returns."""
        unit = 1 << 20
        info = tarfile.TarInfo("big")
        info.size = size
        info.mtime = WHEN
        block = bytearray(noise(unit, 6))
        plain, packed = hashlib.sha256(), hashlib.sha256()
        # gzip that stores: it costs little, and clients leave it as it is.
        gz = zlib.compressobj(0, zlib.DEFLATED, 31)
        path = self.blobs / "unnamed"
        with path.open("wb") as f:

            def write(data):
                packed.update(data)
                f.write(data)

            def add(data):
                plain.update(data)
                write(gz.compress(data))

            add(info.tobuf(tarfile.PAX_FORMAT))
            for n in range(size // unit):
                block[:8] = n.to_bytes(8, "big")  # no two blocks are alike
                add(block)
            add(bytes(2 * tarfile.BLOCKSIZE))
            write(gz.flush())
        digest = "sha256:" + packed.hexdigest()
        path.rename(self.blob_path(digest))
        length = self.blob_path(digest).stat().st_size
        return {"mediaType": LAYER + "+gzip", "digest": digest, "size": length}, "sha256:" + plain.hexdigest()

    def image_of(self, layers, arch=HERE[0], variant=HERE[1], **more):
        """An image of layers as layer() returns them; its descriptor names the platform."""
        where = {"architecture": arch, "os": "linux"}
        if variant:
            where["variant"] = variant
        config = {
            "created": "2024-01-01T00:00:00Z",
            **where,
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Labels": {"test": "berth"}},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": f"layer {i}"}
                        for i in range(len(layers))],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(config, CONFIG),
            "layers": [descriptor for descriptor, _ in layers],
            **more,
        }
        return {**self.json(manifest, MANIFEST), "platform": where}

    def image(self, streams=None, packed=True, **more):
        streams = root_layers() if streams is None else streams
        return self.image_of([self.layer(s, packed) for s in streams], **more)

    def index(self, manifests, **more):
        value = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, **more}
        return self.json(value, INDEX)

    def artifact(self, artifact_type, content, media_type, subject=None, **more):
        """Something that is no image: one file and an empty configuration."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": self.json({}, EMPTY),
            "layers": [self.blob(content, media_type)],
            **more,
        }
        if subject:
            manifest["subject"] = {k: subject[k] for k in ("mediaType", "digest", "size")}
        return self.json(manifest, MANIFEST)

    def tag(self, name, descriptor):
        note = {"org.opencontainers.image.ref.name": name}
        self._tags[name] = {**descriptor, "annotations": note}
        self._write_index()
        return descriptor

    def archive(self, path, descriptor, name):
        """A tar file of this layout in which only one thing has a name, in containerd's words."""
        note = {"io.containerd.image.name": name}
        index = {"schemaVersion": 2, "manifests": [{**descriptor, "annotations": note}]}
        with tarfile.open(path, "w") as t:
            for member in ("oci-layout", "blobs"):
                t.add(self.path / member, member)
            info = tarfile.TarInfo("index.json")
            data = json.dumps(index).encode()
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))

    def manifest(self, descriptor):
        return json.loads(self.read(descriptor["digest"]))

    def image_id(self, descriptor):
        """What docker and podman call the id of an image: the digest of its configuration."""
        return self.manifest(descriptor)["config"]["digest"]


def multi_arch(layout):
    """An index of three platforms, this machine's among them; its platforms share no layer."""
    others = [p for p in (("amd64", None), ("arm64", "v8"), ("arm", "v7"), ("riscv64", None))
              if p[0] != HERE[0]][:2]
    manifests = []
    for arch, variant in [HERE, *others]:
        mine = tar({"etc": directory(), "etc/arch": file(f"{arch} {variant}\n")})
        layers = root_layers()[:1] if arch == HERE[0] else ()
        manifests.append(layout.image([*layers, mine], arch=arch, variant=variant))
    return layout.index(manifests), manifests


def docker_archive(path, name, streams, arch=HERE[0]):
    """A file for docker load; the id docker will give the image."""
    config = json.dumps({
        "architecture": arch,
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(s) for s in streams]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "tests"} for _ in streams],
    }).encode()
    names = [f"{i}/layer.tar" for i in range(len(streams))]
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": names}]
    entries = {n: file(s) for n, s in zip(names, streams)}
    entries["config.json"] = file(config)
    entries["manifest.json"] = file(json.dumps(manifest))
    Path(path).write_bytes(tar(entries))
    return sha256(config)


def open_docker_archive(path):
    """What docker save wrote: the image's id and its layers' tar streams, in order."""
    with tarfile.open(path) as t:
        manifest = json.load(t.extractfile("manifest.json"))[0]
        config = t.extractfile(manifest["Config"]).read()
        return sha256(config), [t.extractfile(name).read() for name in manifest["Layers"]]
