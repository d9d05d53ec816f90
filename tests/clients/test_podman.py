"""podman and buildah of Debian 12."""

import json

import images


def test_an_image_podman_pushes_comes_back_the_same(registry, podman):
    name = f"{registry.host}/team/app:1"
    image_id = podman.load(name, images.root_layers())
    podman.push(name)
    podman.forget(name)

    podman.pull(name)

    assert podman.image_id(name) == image_id
    assert podman.saved(name) == (image_id, list(images.root_layers()))


def test_podman_pushes_in_both_formats_and_docker_pulls_them(registry, podman, docker):
    local = "localhost/app:1"
    podman.load(local, images.root_layers())
    for form, media_type in (("oci", images.MANIFEST), ("v2s2", images.DOCKER_MANIFEST)):
        name = f"{registry.host}/team/app:{form}"
        podman.push("--format", form, local, name)

        pushed = json.loads(registry.manifest("team/app", form))
        assert pushed.get("mediaType", images.MANIFEST) == media_type
        assert registry.get(f"/v2/team/app/manifests/{form}")[1]["Content-Type"] == media_type
        docker("pull", name)
        assert docker.saved(name) == (pushed["config"]["digest"], list(images.root_layers()))


def test_podman_pushes_zstd_layers_and_pulls_them(registry, podman):
    local, name = "localhost/app:1", f"{registry.host}/team/app:zstd"
    podman.load(local, images.root_layers())
    podman.push("--format", "oci", "--compression-format", "zstd", local, name)
    podman.forget(local)

    layers = json.loads(registry.manifest("team/app", "zstd"))["layers"]
    assert {layer["mediaType"] for layer in layers} == {images.LAYER + "+zstd"}
    for layer in layers:
        blob, _ = registry.get(f"/v2/team/app/blobs/{layer['digest']}")
        assert blob.startswith(b"\x28\xb5\x2f\xfd") and images.sha256(blob) == layer["digest"]

    podman.pull(name)
    assert podman.tree(name) == images.tree_of_layers(images.root_layers())


def test_podman_builds_an_image_and_pushes_it(registry, podman):
    name = f"{registry.host}/built:1"
    context = podman.folder / "context"
    context.mkdir()
    (context / "rootfs.tar").write_bytes(images.root_layers()[0])
    (context / "Containerfile").write_text('FROM scratch\nADD rootfs.tar /\nCMD ["/bin/sh"]\n')
    podman("build", "--quiet", "--tag", name, context)
    image_id = podman.image_id(name)
    podman.push(name)
    podman.forget(name)

    podman.pull(name)

    assert podman.image_id(name) == image_id
    assert podman.tree(name) == images.tree_of_layers(images.root_layers()[:1])


def test_podman_pushes_an_index_with_all_its_images(registry, podman, containerd):
    local = "localhost/app:all"
    ids = {}
    podman("manifest", "create", local)
    for arch in ("amd64", "arm64", "riscv64"):
        layer = images.tar({"etc": images.directory(), "etc/arch": images.file(arch)})
        ids[arch] = podman.load(f"localhost/app:{arch}", [layer], arch)
        podman("manifest", "add", local, f"containers-storage:localhost/app:{arch}")
    name = f"{registry.host}/team/app:all"

    podman("manifest", "push", "--all", "--tls-verify=false", local, f"docker://{name}")

    index = json.loads(registry.manifest("team/app", "all"))
    assert {m["platform"]["architecture"] for m in index["manifests"]} == set(ids)
    for child in index["manifests"]:
        manifest = json.loads(registry.manifest("team/app", child["digest"]))
        assert manifest["config"]["digest"] == ids[child["platform"]["architecture"]]
    podman("rmi", "--force", *ids.values())
    for arch, image_id in ids.items():
        podman.pull("--arch", arch, name)
        assert podman.image_id(name) == image_id
    containerd.pull(name, "--all-platforms")
    assert containerd.digest(name) == registry.digest("team/app", "all")


def test_podman_mounts_what_another_repository_has(registry, podman):
    local = "localhost/app:1"
    podman.load(local, images.root_layers())
    podman.push(local, f"{registry.host}/one:1")
    assert registry.count_requests(method="PATCH") == 4

    podman.push(local, f"{registry.host}/two:1")

    # podman has layers mounted, never the configuration.
    assert registry.count_requests(method="PATCH") == 4 + 1
    assert registry.digest("two", "1") == registry.digest("one", "1")


def test_podman_lists_repositories_and_tags(registry, podman):
    local = "localhost/app:1"
    podman.load(local, images.root_layers()[:1])
    tags = ["1", "1.1", "edge"]
    for repo in ("team/app", "team/other", "single"):
        for tag in tags:
            podman.push(local, f"{registry.host}/{repo}:{tag}")

    found = podman("search", "--tls-verify=false", "--format", "{{.Name}}", f"{registry.host}/team")
    assert sorted(found.split()) == [f"{registry.host}/team/app", f"{registry.host}/team/other"]
    listed = podman("search", "--tls-verify=false", "--list-tags", f"{registry.host}/team/app")
    assert [line.split()[-1] for line in listed.splitlines()[1:]] == tags


def test_podman_says_that_an_image_is_not_there(registry, podman):
    done = podman("pull", "--tls-verify=false", f"{registry.host}/team/app:none", check=False)
    assert done.returncode != 0
    assert "manifest unknown" in done.stderr or "name unknown" in done.stderr, done.stderr


def test_buildah_commits_straight_to_the_registry_and_starts_from_there(registry, buildah, skopeo):
    first = registry.docker("team/base:1")
    rootfs = buildah.folder / "rootfs.tar"
    rootfs.write_bytes(images.root_layers()[0])
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, rootfs, "/")
    buildah("config", "--cmd", "/bin/sh", container)
    buildah("commit", "--quiet", "--tls-verify=false", container, first)
    buildah("rm", container)

    container = buildah("from", "--quiet", "--tls-verify=false", first).strip()
    buildah("config", "--label", "stage=second", container)
    buildah("commit", "--quiet", "--tls-verify=false", container, registry.docker("team/app:1"))

    base = json.loads(registry.manifest("team/base", "1"))
    app = json.loads(skopeo.inspect(registry.docker("team/app:1")))
    assert app["Labels"]["stage"] == "second"
    assert app["Layers"][0] == base["layers"][0]["digest"]
