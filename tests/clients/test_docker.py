"""The docker command and engine of Debian 12."""

import json
from concurrent.futures import ThreadPoolExecutor

import engines
import images


def test_an_image_docker_pushes_comes_back_the_same(registry, docker):
    name = f"{registry.host}/team/app:1"
    image_id = docker.load(name, images.root_layers())
    docker("push", name)
    docker.forget(name)

    docker("pull", name)

    assert docker.image_id(name) == image_id
    assert docker.saved(name) == (image_id, list(images.root_layers()))


def test_an_image_docker_pushes_can_be_pulled_by_every_other_engine(registry, bench, docker, podman,
                                                                     containerd, skopeo):
    name = f"{registry.host}/team/app:1"
    image_id = docker.load(name, images.root_layers())
    docker("push", name)
    docker.forget(name)

    other = bench.client(engines.Docker)
    other("pull", name)
    assert other.saved(name) == (image_id, list(images.root_layers()))

    podman.pull(name)
    assert podman.saved(name) == (image_id, list(images.root_layers()))

    containerd.pull(name)
    assert containerd.digest(name) == registry.digest("team/app", "1")
    assert containerd.tree(name) == images.tree_of_layers(images.root_layers())

    config = skopeo.inspect(registry.docker("team/app:1"), "--config", "--raw")
    assert images.sha256(config.encode()) == image_id


def test_docker_pushes_what_it_imported_and_what_it_built(registry, docker):
    imported = f"{registry.host}/imported:1"
    rootfs = docker.folder / "rootfs.tar"
    rootfs.write_bytes(images.root_layers()[0])
    docker("import", rootfs, imported)

    built = f"{registry.host}/built:1"
    context = docker.folder / "context"
    context.mkdir()
    (context / "noise").write_bytes(images.noise(100000, 3))
    (context / "Dockerfile").write_text(f'FROM {imported}\nCOPY noise /noise\nCMD ["/bin/sh"]\n')
    docker("build", "--network=none", "--tag", built, context)
    ids = [docker.image_id(imported), docker.image_id(built)]

    docker("push", imported)
    # The layer below is in the registry: the engine asks for it to be mounted.
    assert "Mounted from imported" in docker("push", built)
    docker.forget(imported, built)

    docker("pull", built)
    assert docker.image_id(built) == ids[1]
    docker("pull", imported)
    assert docker.image_id(imported) == ids[0]
    _, layers = docker.saved(built)
    assert images.tree_of_layers(layers)["noise"][-1] == images.sha256(images.noise(100000, 3))[7:]


def test_docker_pulls_by_digest(registry, docker):
    name = f"{registry.host}/team/app:1"
    image_id = docker.load(name, images.root_layers())
    docker("push", name)
    docker.forget(name)
    by_digest = f"{registry.host}/team/app@{registry.digest('team/app', '1')}"

    docker("pull", by_digest)

    assert docker.image_id(by_digest) == image_id


def test_docker_pushes_and_pulls_all_tags_of_a_repository(registry, docker):
    repo = f"{registry.host}/team/app"
    ids = {}
    for tag in ("1", "2", "edge"):
        layer = images.tar({"etc": images.directory(), "etc/tag": images.file(tag)})
        ids[tag] = docker.load(f"{repo}:{tag}", [images.root_layers()[0], layer])
    docker("push", "--all-tags", repo)
    docker.forget(*(f"{repo}:{tag}" for tag in ids))
    assert sorted(registry.tags("team/app")) == sorted(ids)

    docker("pull", "--all-tags", repo)

    assert {tag: docker.image_id(f"{repo}:{tag}") for tag in ids} == ids


def test_docker_moves_a_tag_to_another_image(registry, docker):
    name = f"{registry.host}/team/app:latest"
    for text in ("old", "new"):
        layer = images.tar({"etc": images.directory(), "etc/text": images.file(text)})
        image_id = docker.load(name, [layer])
        docker("push", name)
    docker("rmi", "--force", *docker("images", "--all", "--quiet").split())

    docker("pull", name)

    assert docker.image_id(name) == image_id


def test_docker_says_that_an_image_is_not_there(registry, docker):
    done = docker("pull", f"{registry.host}/team/app:none", check=False)
    assert done.returncode != 0
    assert "manifest unknown" in done.stderr or "not found" in done.stderr, done.stderr


def test_docker_pulls_an_oci_image_that_skopeo_pushed(registry, docker, skopeo, layout):
    image = layout.tag("app", layout.image())
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))
    assert registry.digest("team/app", "1") == image["digest"]

    name = f"{registry.host}/team/app:1"
    docker("pull", name)

    assert docker.saved(name) == (layout.image_id(image), list(images.root_layers()))


def test_docker_pulls_its_platform_from_an_index(registry, docker, skopeo, layout):
    index, manifests = images.multi_arch(layout)
    layout.tag("app", index)
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"), "--all")

    name = f"{registry.host}/team/app:1"
    for manifest in manifests:
        where = manifest["platform"]
        flag = "/".join(filter(None, (where["os"], where["architecture"], where.get("variant"))))
        docker("pull", "--platform", flag, name)
        assert docker.image_id(name) == layout.image_id(manifest)


def test_docker_manifest_makes_a_list_of_images_of_two_repositories(registry, docker, podman):
    children = []
    for arch, repo in (("amd64", "team/app"), ("arm64", "team/app"), ("riscv64", "other/app")):
        layer = images.tar({"etc": images.directory(), "etc/arch": images.file(arch)})
        children.append(f"{registry.host}/{repo}:{arch}")
        docker.load(children[-1], [layer], arch)
        docker("push", children[-1])
    name = f"{registry.host}/team/app:all"

    docker("manifest", "create", "--insecure", name, *children)
    docker("manifest", "annotate", "--variant", "v8", name, children[1])
    told = docker("manifest", "push", "--insecure", "--purge", name).split()[-1]

    made = json.loads(registry.manifest("team/app", "all"))
    assert told == registry.digest("team/app", "all")
    assert made["mediaType"] == images.DOCKER_LIST
    assert {m["platform"]["architecture"] for m in made["manifests"]} == {"amd64", "arm64", "riscv64"}
    for child in made["manifests"]:
        # All of them are in the list's repository now, the one from elsewhere too.
        body = registry.manifest("team/app", child["digest"])
        config = json.loads(body)["config"]["digest"]
        assert images.sha256(registry.get(f"/v2/team/app/blobs/{config}")[0]) == config
    seen = json.loads(docker("manifest", "inspect", "--insecure", name))
    assert [m["digest"] for m in seen["manifests"]] == [m["digest"] for m in made["manifests"]]

    podman.pull("--arch", "riscv64", name)
    _, layers = podman.saved(name)
    assert layers == [images.tar({"etc": images.directory(), "etc/arch": images.file("riscv64")})]


MIB = 1024 * 1024
BIG = 96 * MIB


def test_docker_goes_on_with_a_push_when_a_killed_server_is_back(registry, docker):
    name = f"{registry.host}/team/big:1"
    layer = images.tar({"noise": images.file(images.noise(BIG, 4))})
    image_id = docker.load(name, [layer])

    def received():
        return engines.bytes_below(registry.data) - before

    before = engines.bytes_below(registry.data)
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(docker, "push", name)
        engines.wait_until(lambda: received() > 4 * MIB, "docker push began")
        registry.kill()
        assert received() < BIG, "the push was over before the server was killed"
        registry.start()
        push.result()
    docker.forget(name)

    docker("pull", name)
    assert docker.saved(name) == (image_id, [layer])


def test_docker_goes_on_with_a_pull_where_a_killed_server_broke_it_off(registry, docker):
    name = f"{registry.host}/team/big:1"
    layer = images.tar({"noise": images.file(images.noise(BIG, 4))})
    image_id = docker.load(name, [layer])
    docker("push", name)

    def received():
        return engines.bytes_below(docker.folder / "data" / "tmp", "GetImageBlob*")

    # A pull may be over before it is cut off: then once more.
    for _ in range(5):
        docker.forget(name)
        with ThreadPoolExecutor(1) as pool:
            pull = pool.submit(docker, "pull", name)
            engines.wait_until(lambda: received() > MIB or pull.done(), "docker pull began")
            registry.kill()
            registry.start()
            pull.result()
        if registry.count_requests(method="GET", status=206):
            break
    else:
        raise AssertionError("no pull asked for the rest of a layer")

    assert docker.saved(name) == (image_id, [layer])
