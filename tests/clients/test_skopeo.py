"""skopeo of Debian 12: copying, looking, deleting."""

import json

import images


def manifests_below(layout, descriptor):
    """Every manifest an index names, and the index itself: digest -> bytes."""
    body = layout.read(descriptor["digest"])
    found = {descriptor["digest"]: body}
    for child in json.loads(body).get("manifests", ()):
        found |= manifests_below(layout, child)
    return found


def assert_same_layouts(one, other, descriptor):
    """Both layouts hold the same bytes for everything below a descriptor."""
    for digest, body in manifests_below(one, descriptor).items():
        assert other.read(digest) == body
        manifest = json.loads(body)
        for blob in [manifest["config"], *manifest["layers"]] if "config" in manifest else ():
            assert other.read(blob["digest"]) == one.read(blob["digest"])


def test_an_oci_image_comes_back_byte_for_byte(registry, skopeo, layout, bench):
    image = layout.tag("app", layout.image())
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))

    back = bench.layout()
    skopeo.copy(registry.docker("team/app:1"), back.ref("app"))

    assert registry.manifest("team/app", "1") == layout.read(image["digest"])
    assert_same_layouts(layout, back, image)


def test_an_index_comes_back_with_every_platform(registry, skopeo, layout, bench):
    index, manifests = images.multi_arch(layout)
    layout.tag("app", index)
    skopeo.copy(layout.ref("app"), registry.docker("team/app:all"), "--all")
    assert registry.manifest("team/app", "all") == layout.read(index["digest"])

    back = bench.layout()
    skopeo.copy(registry.docker("team/app:all"), back.ref("app"), "--all")
    assert_same_layouts(layout, back, index)

    folder = bench.path("dir")
    skopeo.copy(registry.docker("team/app:all"), f"dir:{folder}", "--all")
    assert (folder / "manifest.json").read_bytes() == layout.read(index["digest"])
    for manifest in manifests:
        name = manifest["digest"][len("sha256:"):] + ".manifest.json"
        assert (folder / name).read_bytes() == layout.read(manifest["digest"])
        for layer in layout.manifest(manifest)["layers"]:
            assert images.file_sha256(folder / layer["digest"][len("sha256:"):]) == layer["digest"]

    alone = bench.layout()
    skopeo.copy(registry.docker("team/app:all"), alone.ref("app"))
    assert_same_layouts(layout, alone, manifests[0])


def test_an_index_may_name_an_index(registry, skopeo, containerd, layout):
    inner, manifests = images.multi_arch(layout)
    outer = layout.index([inner])
    # skopeo 1.9 copies no nested index: containerd does.
    name = f"{registry.host}/team/app:nested"
    containerd.load(layout, outer, name)
    containerd.push(name)
    assert registry.manifest("team/app", "nested") == layout.read(outer["digest"])
    for manifest in manifests:
        assert registry.manifest("team/app", manifest["digest"]) == layout.read(manifest["digest"])
    seen = skopeo.inspect(registry.docker(f"team/app@{inner['digest']}"), "--raw")
    assert seen.encode() == layout.read(inner["digest"])


def test_an_image_is_pushed_in_each_format(registry, skopeo, layout):
    image = layout.tag("app", layout.image())
    for form, media_type in (("oci", images.MANIFEST), ("v2s2", images.DOCKER_MANIFEST)):
        target = registry.docker(f"team/app:{form}")
        skopeo.copy(layout.ref("app"), target, "--format", form)

        body, headers = registry.get(f"/v2/team/app/manifests/{form}")
        assert headers["Content-Type"] == media_type
        assert json.loads(skopeo.inspect(target, "--raw")) == json.loads(body)
        config = skopeo.inspect(target, "--config", "--raw").encode()
        assert json.loads(config)["rootfs"] == json.loads(layout.read(layout.image_id(image)))["rootfs"]


def test_a_docker_manifest_list_keeps_its_type(registry, skopeo, layout, docker):
    index, manifests = images.multi_arch(layout)
    layout.tag("app", index)
    skopeo.copy(layout.ref("app"), registry.docker("team/app:list"), "--all", "--format", "v2s2")

    body, headers = registry.get("/v2/team/app/manifests/list")
    assert headers["Content-Type"] == images.DOCKER_LIST
    children = json.loads(body)["manifests"]
    assert {m["mediaType"] for m in children} == {images.DOCKER_MANIFEST}
    assert len(children) == len(manifests)
    docker("pull", f"{registry.host}/team/app:list")


def test_layers_compressed_with_zstd_come_back(registry, skopeo, layout, podman, bench):
    layout.tag("app", layout.image(packed=False))
    target = registry.docker("team/app:zstd")
    skopeo.copy(layout.ref("app"), target, "--dest-compress-format", "zstd", "--format", "oci")

    layers = json.loads(registry.manifest("team/app", "zstd"))["layers"]
    assert [layer["mediaType"] for layer in layers] == [images.LAYER + "+zstd"] * 3
    back = bench.layout()
    skopeo.copy(target, back.ref("app"))
    for layer in layers:
        assert images.sha256(back.read(layer["digest"])) == layer["digest"]
    name = f"{registry.host}/team/app:zstd"
    podman.pull(name)
    assert podman.tree(name) == images.tree_of_layers(images.root_layers())


def test_an_artifact_is_kept_and_found_through_its_subject(registry, skopeo, layout, bench):
    image = layout.tag("app", layout.image(root_streams()))
    kind = "application/vnd.example.report"
    note = {"annotations": {"org.example.by": "the tests"}}
    report = layout.artifact(kind, b"all is well\n", "text/plain", subject=image, **note)
    layout.tag("report", report)
    # The artifact first: a subject may follow what refers to it.
    skopeo.copy(layout.ref("report"), registry.docker("team/app:report"), "--preserve-digests")
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))

    body, headers = registry.get(f"/v2/team/app/referrers/{image['digest']}")
    assert headers["Content-Type"] == images.INDEX
    (found,) = json.loads(body)["manifests"]
    assert found["digest"] == report["digest"]
    assert found["artifactType"] == kind
    assert found["annotations"] == note["annotations"]

    back = bench.layout()
    skopeo.copy(registry.docker(f"team/app@{found['digest']}"), back.ref("report"))
    assert_same_layouts(layout, back, report)


def root_streams():
    return images.root_layers()[:1]


def test_a_copy_between_two_repositories_uploads_no_layer(registry, skopeo, layout):
    image = layout.tag("app", layout.image())
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))
    assert registry.count_requests(method="PATCH") == 4

    skopeo.copy(registry.docker("team/app:1"), registry.docker("other/place/app:1"))

    # skopeo has layers mounted, never the configuration.
    assert registry.count_requests(method="PATCH") == 4 + 1
    assert registry.digest("other/place/app", "1") == image["digest"]


def test_inspect_tells_what_was_pushed(registry, skopeo, layout):
    image = layout.tag("app", layout.image())
    for tag in ("1", "2", "latest"):
        skopeo.copy(layout.ref("app"), registry.docker(f"team/app:{tag}"))

    told = json.loads(skopeo.inspect(registry.docker("team/app:2")))

    assert told["Name"] == f"{registry.host}/team/app"
    assert told["Digest"] == image["digest"]
    assert told["RepoTags"] == ["1", "2", "latest"]
    assert told["Architecture"] == images.HERE[0]
    assert told["Labels"] == {"test": "berth"}
    assert told["Layers"] == [layer["digest"] for layer in layout.manifest(image)["layers"]]


def test_list_tags_lists_all_of_them_in_order(registry, skopeo, layout):
    layout.tag("app", layout.image(root_streams()))
    tags = [f"v{n:02}" for n in range(30)]
    for tag in reversed(tags):
        skopeo.copy(layout.ref("app"), registry.docker(f"team/app:{tag}"))

    listed = json.loads(skopeo("list-tags", "--tls-verify=false", registry.docker("team/app")))

    assert listed == {"Repository": f"{registry.host}/team/app", "Tags": tags}


def test_delete_takes_the_image_and_its_tags(registry, skopeo, layout):
    layout.tag("app", layout.image(root_streams()))
    kept = layout.tag("kept", layout.image(root_streams(), annotations={"org.example.kept": "yes"}))
    for tag in ("1", "one"):
        skopeo.copy(layout.ref("app"), registry.docker(f"team/app:{tag}"))
    skopeo.copy(layout.ref("kept"), registry.docker("team/app:kept"))

    skopeo("delete", "--tls-verify=false", registry.docker("team/app:1"))

    assert registry.tags("team/app") == ["kept"]
    done = skopeo("inspect", "--tls-verify=false", registry.docker("team/app:one"), check=False)
    assert done.returncode != 0 and "manifest unknown" in done.stderr, done.stderr
    assert skopeo.inspect(registry.docker("team/app:kept"), "--raw").encode() == layout.read(kept["digest"])


def test_sync_carries_a_repository_to_a_folder_and_to_another_registry(registry, skopeo, layout, bench):
    index, _ = images.multi_arch(layout)
    layout.tag("all", index)
    layout.tag("one", layout.image())
    for tag in ("all", "one"):
        skopeo.copy(layout.ref(tag), registry.docker(f"team/app:{tag}"), "--all")
    other = bench.registry()
    folder = bench.path("sync")
    folder.mkdir()

    skopeo("sync", "--all", "--src", "docker", "--dest", "dir", "--src-tls-verify=false",
           f"{registry.host}/team/app", folder)
    # A folder loses the repository's name but for its last part.
    assert sorted(p.name for p in folder.iterdir()) == ["app:all", "app:one"]
    skopeo("sync", "--all", "--src", "dir", "--dest", "docker", "--dest-tls-verify=false",
           folder, f"{other.host}/from-folder")
    skopeo("sync", "--all", "--src", "docker", "--dest", "docker", "--src-tls-verify=false",
           "--dest-tls-verify=false", f"{registry.host}/team/app", f"{other.host}/direct")

    for repo in ("from-folder/app", "direct/app"):
        assert other.tags(repo) == ["all", "one"]
        for tag in ("all", "one"):
            assert other.manifest(repo, tag) == registry.manifest("team/app", tag)


def test_a_precomputed_digest_spares_the_upload(registry, skopeo, layout, bench):
    # skopeo compresses these layers, and knows what comes out of it only then.
    layout.tag("app", layout.image(packed=False))
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))
    assert registry.count_requests(method="PATCH") == 4
    # Another skopeo, which has not seen this registry before.
    stranger = bench.client(type(skopeo))

    stranger.copy(layout.ref("app"), registry.docker("team/app:2"), "--dest-precompute-digests")

    assert registry.count_requests(method="PATCH") == 4
    assert registry.digest("team/app", "2") == registry.digest("team/app", "1")
