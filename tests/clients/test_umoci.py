"""umoci of Debian 12: OCI layouts that skopeo carries to and from the registry."""

import json
import shutil

import images


def unpack(client, layout, tag, bundle):
    """The files of an image in a layout, as umoci unpacks them."""
    client.run("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
    tree = images.tree_of_folder(bundle / "rootfs")
    shutil.rmtree(bundle)
    return tree


def test_umoci_unpacks_what_was_pushed_byte_for_byte(registry, skopeo, layout, bench):
    layout.tag("app", layout.image())
    skopeo.copy(layout.ref("app"), registry.docker("team/app:1"))

    back = bench.path("back")
    skopeo.copy(registry.docker("team/app:1"), f"oci:{back}:app")

    tree = unpack(skopeo, back, "app", bench.path("bundle"))
    assert tree == images.tree_of_layers(images.root_layers())


def test_an_image_made_with_umoci_comes_back(registry, skopeo, bench):
    made, bundle = bench.path("made"), bench.path("bundle")
    skopeo.run("umoci", "init", "--layout", made)
    skopeo.run("umoci", "new", "--image", f"{made}:app")
    skopeo.run("umoci", "unpack", "--image", f"{made}:app", bundle)
    folder = bundle / "rootfs" / "data"
    folder.mkdir()
    (folder / "noise").write_bytes(images.noise(1 << 20, 5))
    (folder / "link").symlink_to("noise")
    skopeo.run("umoci", "repack", "--image", f"{made}:app", bundle)
    shutil.rmtree(bundle)
    skopeo.run("umoci", "config", "--image", f"{made}:app", "--config.env", "MADE=yes")

    skopeo.copy(f"oci:{made}:app", registry.docker("team/app:1"))
    back = bench.path("back")
    skopeo.copy(registry.docker("team/app:1"), f"oci:{back}:app")

    assert unpack(skopeo, back, "app", bundle) == unpack(skopeo, made, "app", bundle)
    told = json.loads(skopeo.inspect(registry.docker("team/app:1"), "--config"))
    assert "MADE=yes" in told["config"]["Env"]
