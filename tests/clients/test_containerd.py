"""containerd of Debian 12, through ctr."""

import json

import images


def test_an_image_containerd_pushes_comes_back_the_same(registry, containerd, layout):
    image = layout.image()
    name = f"{registry.host}/team/app:1"
    containerd.load(layout, image, name)
    containerd.push(name)
    containerd.forget()
    assert registry.manifest("team/app", "1") == layout.read(image["digest"])

    containerd.pull(name)

    assert containerd.digest(name) == image["digest"]
    assert containerd.tree(name) == images.tree_of_layers(images.root_layers())


def test_containerd_pushes_and_pulls_all_platforms(registry, containerd, layout):
    index, manifests = images.multi_arch(layout)
    name = f"{registry.host}/team/app:all"
    containerd.load(layout, index, name)
    containerd.push(name)
    containerd.forget()
    assert registry.manifest("team/app", "all") == layout.read(index["digest"])

    containerd.pull(name, "--all-platforms")

    assert containerd.digest(name) == index["digest"]
    held = set(containerd("content", "list", "--quiet").split())
    expected = {index["digest"]}
    for manifest in manifests:
        body = layout.manifest(manifest)
        expected |= {manifest["digest"], body["config"]["digest"]}
        expected |= {layer["digest"] for layer in body["layers"]}
    assert held == expected


def test_containerd_pulls_one_platform_of_an_index(registry, containerd, layout):
    index, manifests = images.multi_arch(layout)
    name = f"{registry.host}/team/app:all"
    containerd.load(layout, index, name)
    containerd.push(name)
    containerd.forget()

    containerd.pull(name)

    held = set(containerd("content", "list", "--quiet").split())
    wanted = layout.manifest(manifests[0])
    assert {layer["digest"] for layer in wanted["layers"]} <= held
    for other in manifests[1:]:
        assert not {layer["digest"] for layer in layout.manifest(other)["layers"]} & held


def test_containerd_pulls_by_digest(registry, containerd, layout):
    image = layout.image()
    name = f"{registry.host}/team/app:1"
    containerd.load(layout, image, name)
    containerd.push(name)
    containerd.forget()

    by_digest = f"{registry.host}/team/app@{image['digest']}"
    containerd.pull(by_digest)

    assert containerd.digest(by_digest) == image["digest"]


def test_containerd_pushes_to_another_repository_without_uploading(registry, containerd, layout):
    one, two = f"{registry.host}/one:1", f"{registry.host}/two:1"
    containerd.load(layout, layout.image(), one)
    containerd.push(one)
    containerd.forget()
    # Having pulled the image, containerd knows where its content can be mounted from.
    containerd.pull(one)

    sent = containerd.requests("push", "--plain-http", two, one)

    posts = [line for line in sent if line.startswith("POST /v2/two/blobs/uploads/")]
    assert len(posts) == 4 and all("mount=sha256" in line and "from=one" in line for line in posts)
    assert not [line for line in sent if line.startswith("PUT /v2/two/blobs/")]
    assert registry.digest("two", "1") == registry.digest("one", "1")


def mirror(containerd, upstream, address, **settings):
    """A hosts.toml which says that this address mirrors an upstream."""
    folder = containerd.folder / "hosts" / upstream
    folder.mkdir(parents=True)
    lines = [f'server = "https://{upstream}"', f'[host."{address}"]',
             'capabilities = ["pull", "resolve"]']
    lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (folder / "hosts.toml").write_text("\n".join(lines) + "\n")
    return "--hosts-dir", folder.parent


def test_containerd_pulls_through_a_mirror_setting(registry, containerd, skopeo, layout):
    index, manifests = images.multi_arch(layout)
    layout.tag("app", index)
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"), "--all")
    name = "example.test/team/app:1"  # a host that does not exist
    options = mirror(containerd, "example.test", f"http://{registry.host}")

    sent = containerd.requests("pull", "--snapshotter", "native", *options, name)

    assert sent and all(line.endswith("?ns=example.test") for line in sent), sent
    assert containerd.digest(name) == index["digest"]
    assert containerd.tree(name)["etc/arch"][0] == "file"
    assert {m["digest"] for m in manifests[:1]} <= set(containerd("content", "list", "--quiet").split())


def test_containerd_pulls_through_a_mirror_with_a_path_of_its_own(registry, containerd, skopeo, layout):
    image = layout.tag("app", layout.image())
    skopeo.copy(layout.ref("app"), registry.docker("copies/team/app:1"))
    name = "example.test/team/app:1"
    options = mirror(containerd, "example.test", f"http://{registry.host}/v2/copies", override_path=True)

    containerd("images", "pull", "--snapshotter", "native", *options, name)

    assert containerd.digest(name) == image["digest"]
    assert containerd.tree(name) == images.tree_of_layers(images.root_layers())


def test_containerd_says_that_an_image_is_not_there(registry, containerd):
    done = containerd("images", "pull", "--plain-http", f"{registry.host}/team/app:none", check=False)
    assert done.returncode != 0
    assert "not found" in done.stderr, done.stderr
