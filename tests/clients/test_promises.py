"""What the server promises, seen from its clients."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import engines
import images

GIB = 1 << 30
PEAK_KIB = 24 << 10
# The address sanitizer keeps shadow memory and freed blocks besides; this still is far less than
# the layer that passes through.
SANITIZED_PEAK_KIB = 96 << 10


def test_an_acknowledged_push_survives_a_killed_server(registry, docker):
    name = f"{registry.host}/team/app:1"
    image_id = docker.load(name, images.root_layers())
    docker("push", name)
    registry.kill()
    docker.forget(name)
    registry.start()

    docker("pull", name)

    assert docker.saved(name) == (image_id, list(images.root_layers()))


def test_clients_push_the_same_image_at_once_and_one_copy_is_kept(registry, bench, layout):
    image = layout.tag("app", layout.image())
    skopeos = [bench.client(engines.Skopeo) for _ in range(3)]
    containerd = bench.client(engines.Containerd)
    containerd.load(layout, image, f"{registry.host}/team/app:c")
    pushes = [lambda s=s, n=n: s.copy(layout.ref("app"), registry.docker(f"team/app:{n}"))
              for n, s in enumerate(skopeos)]
    pushes.append(lambda: skopeos[0].copy(layout.ref("app"), registry.docker("team/app:0")))
    pushes.append(lambda: containerd.push(f"{registry.host}/team/app:c"))

    with ThreadPoolExecutor(len(pushes)) as pool:
        for done in [pool.submit(push) for push in pushes]:
            done.result()

    assert registry.tags("team/app") == ["0", "1", "2", "c"]
    assert {registry.digest("team/app", tag) for tag in "012c"} == {image["digest"]}
    manifest = layout.manifest(image)
    expected = [image, manifest["config"], *manifest["layers"]]
    assert registry.blob_files() == sorted(blob["digest"][len("sha256:"):] for blob in expected)
    assert list((registry.data / "uploads").iterdir()) == []
    containerd.forget()
    containerd.pull(f"{registry.host}/team/app:2")
    assert containerd.tree(f"{registry.host}/team/app:2") == images.tree_of_layers(images.root_layers())


def test_a_layer_of_2_gib_passes_through_a_small_server(registry, skopeo, layout, bench):
    sanitized = registry.status_field("VmSize") > 1 << 30  # KiB: its shadow of the address space
    layer = layout.big_layer(2 * GIB)
    layout.tag("big", layout.image_of([layer]))
    skopeo.copy(layout.ref("big"), registry.docker("team/big:1"), timeout=240)
    pushed = registry.status_field("VmHWM")
    shutil.rmtree(layout.path)

    skopeo.copy(registry.docker("team/big:1"), f"dir:{bench.path('back')}", timeout=240)

    blob = bench.path("back") / layer[0]["digest"][len("sha256:"):]
    assert blob.stat().st_size == layer[0]["size"] > 2 * GIB
    assert images.file_sha256(blob) == layer[0]["digest"]
    peak = registry.status_field("VmHWM")
    print(f"peak memory: {pushed} KiB after the push, {peak} KiB after the pull")
    assert peak < (SANITIZED_PEAK_KIB if sanitized else PEAK_KIB)


def test_the_data_directory_of_a_stopped_server_is_an_oci_layout(registry, skopeo, layout, bench):
    index, _ = images.multi_arch(layout)
    layout.tag("all", index)
    image = layout.tag("app", layout.image())
    skopeo.copy(layout.ref("all"), registry.docker("team/app:all"), "--all")
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))
    skopeo.copy(layout.ref("app"), registry.docker("single:1.0"))
    registry.stop()

    for name, descriptor in (("team/app:all", index), ("team/app:1", image), ("single:1.0", image)):
        raw = skopeo("inspect", "--raw", f"oci:{registry.data}:{name}")
        assert raw.encode() == layout.read(descriptor["digest"])
    names = {m["annotations"]["org.opencontainers.image.ref.name"]
             for m in json.loads((registry.data / "index.json").read_text())["manifests"]
             if m.get("annotations")}
    assert names == {"team/app:all", "team/app:1", "single:1.0"}

    copied = bench.path("copied")
    skopeo.copy(f"oci:{registry.data}:team/app:all", f"dir:{copied}", "--all")
    assert (copied / "manifest.json").read_bytes() == layout.read(index["digest"])
    bundle = bench.path("bundle")
    skopeo.run("umoci", "unpack", "--image", f"{registry.data}:team/app:1", bundle)
    assert images.tree_of_folder(bundle / "rootfs") == images.tree_of_layers(images.root_layers())


def test_a_registry_is_moved_by_copying_its_folder(registry, bench, docker):
    name = f"{registry.host}/team/app:1"
    image_id = docker.load(name, images.root_layers())
    docker("push", name)
    docker.forget(name)
    registry.stop()
    moved = bench.registry(start=False)
    shutil.copytree(registry.data, moved.data)
    shutil.rmtree(registry.data)
    moved.start()

    docker("pull", f"{moved.host}/team/app:1")

    assert docker.image_id(f"{moved.host}/team/app:1") == image_id
