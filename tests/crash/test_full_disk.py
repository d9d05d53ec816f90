"""A disk that fills up: a clear answer, reads go on, starts go on, and when there is room again
pushes go on, without a restart. The disk is a small file system in memory."""

import os
import subprocess

import pytest
from harness import (BERTH, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, OCTETS, Server, descriptor, digest_of,
                     encode, image_manifest, local, noise, push_blob, push_image, with_query)

DISK = 16 << 20
PAGE = 4096
NO_SPACE = 507
STEPS = range(0, 96, 3)  # pages of room


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of DISK bytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0755", "berth-test", folder], check=True)
    try:
        yield folder
    finally:
        if subprocess.run(["umount", folder]).returncode:
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def server(disk, tmp_path):
    """The log is on another disk."""
    s = Server(tmp_path / "log", data=disk / "data")
    s.start()
    try:
        yield s
    except BaseException:
        s.kill()
        raise
    s.stop()


class Ballast:
    """A file beside the data that takes what room there is."""

    def __init__(self, disk):
        self.path = disk / "ballast"

    def fill(self, leave=0):
        """Take everything to the last byte, then give `leave` bytes back."""
        with open(self.path, "ab", buffering=0) as f:
            for size in (1 << 20, PAGE, 1):
                try:
                    while f.write(b"x" * size):
                        pass
                except OSError:
                    continue
            if leave:
                f.truncate(f.tell() // PAGE * PAGE - leave)

    def drop(self):
        self.path.unlink()


def try_image(client, repo, tag, seed):
    """Push an image as push_image does, as far as it goes. Returns it when all was acknowledged; the
    blobs that were, in any case. Anything but "done" and "no room" is a failure."""
    config, layer = encode({"seed": str(seed)}), noise(1500, seed)
    done = {}
    for data in (config, layer):
        digest = digest_of(data)
        begun = client.post(f"/v2/{repo}/blobs/uploads/", faults=True)
        assert begun.status in (202, NO_SPACE), begun
        if begun.status != 202:
            return None, done
        put = client.put(with_query(begun.location, digest=digest), data, {"Content-Type": OCTETS},
                         faults=True)
        assert put.status in (201, NO_SPACE), put
        if put.status != 201:
            return None, done
        done[digest] = data
    body = image_manifest(descriptor(config, OCI_CONFIG), [descriptor(layer, OCI_LAYER)])
    put = client.put(f"/v2/{repo}/manifests/{tag}", body, {"Content-Type": OCI_MANIFEST}, faults=True)
    assert put.status in (201, NO_SPACE), put
    return (body if put.status == 201 else None), done


def check_reads(client, repo, blobs, manifests):
    """blobs: digest -> bytes; manifests: tag -> bytes."""
    for digest, data in blobs.items():
        reply = client.get(f"/v2/{repo}/blobs/{digest}")
        assert reply.status == 200 and reply.body == data, f"{digest}: {reply.status}"
        assert client.head(f"/v2/{repo}/blobs/{digest}").status == 200
    for tag, body in manifests.items():
        reply = client.get(f"/v2/{repo}/manifests/{tag}")
        assert reply.status == 200 and reply.body == body, f"{tag}: {reply.status}"
    if manifests:
        assert set(manifests) == set(client.get(f"/v2/{repo}/tags/list").json()["tags"])
    assert client.get("/v2/_catalog").status == 200


def test_a_blob_that_does_not_fit_is_refused_and_what_is_there_is_served(server, disk):
    repo = "full/blobs"
    with server.client() as client:
        image = push_image(client, repo, "first", seed="first")
        blobs = {}
        refused = None
        for n in range(40):
            data = noise(1 << 20, f"fill {n}")
            begun = client.post(f"/v2/{repo}/blobs/uploads/")
            assert begun.status == 202
            put = client.put(with_query(begun.location, digest=digest_of(data)), data,
                             {"Content-Type": OCTETS}, faults=True)
            if put.status != 201:
                refused = put
                break
            blobs[digest_of(data)] = data
        assert refused is not None and refused.status == NO_SPACE, refused
        assert len(blobs) >= 5
        check_reads(client, repo, blobs, {"first": image.body})

        # One that does not say its length is taken until the disk is full, and then refused.
        begun = client.post(f"/v2/{repo}/blobs/uploads/")
        sent = client.patch(begun.location, (noise(65536, n) for n in range(64)), {"Content-Type": OCTETS},
                            chunked=True, faults=True)
        assert sent.status == NO_SPACE, sent
        with server.client() as another:
            check_reads(another, repo, blobs, {"first": image.body})

        # Room is made by a delete: its own, on the full disk.
        gone = next(iter(blobs))
        assert client.delete(f"/v2/{repo}/blobs/{gone}").status == 202
        for location in (begun.location,):
            client.delete(local(location))
        del blobs[gone]
        data = noise(500_000, "after")
        blobs[push_blob(client, repo, data)] = data
        check_reads(client, repo, blobs, {"first": image.body})


def test_a_session_that_met_a_full_disk_goes_on_when_there_is_room(server, disk):
    repo, ballast = "full/session", Ballast(disk)
    data = noise(3 << 20, "session")
    with server.client() as client:
        begun = client.post(f"/v2/{repo}/blobs/uploads/")
        first = client.patch(begun.location, data[:1 << 20], {"Content-Type": OCTETS})
        assert first.status == 202
        ballast.fill(leave=64 * PAGE)
        full = client.patch(first.location, data[1 << 20:], {"Content-Type": OCTETS}, faults=True)
        assert full.status == NO_SPACE, full
        status = client.get(local(begun.location))
        assert status.status == 204, status
        at = int(status.header("Range").split("-")[1]) + 1
        assert at == 1 << 20
        ballast.drop()
        done = client.put(with_query(begun.location, digest=digest_of(data)), data[at:],
                          {"Content-Type": OCTETS})
        assert done.status == 201, done
        check_reads(client, repo, {digest_of(data): data}, {})
    assert not list((server.data / "uploads").iterdir())


def test_a_disk_full_to_the_last_byte_serves_and_starts(server, disk):
    repo, ballast = "full/start", Ballast(disk)
    with server.client() as client:
        image = push_image(client, repo, "one", seed="one")
        blobs = {digest_of(b): b for b in [image.config, *image.layers]}
        ballast.fill()
        body, _ = try_image(client, repo, "two", "two")
        assert body is None
        again = client.put(f"/v2/{repo}/manifests/two", image.body, {"Content-Type": OCI_MANIFEST},
                           faults=True)
        assert again.status in (201, NO_SPACE), again
        tags = {"one": image.body} | ({"two": image.body} if again.status == 201 else {})
        check_reads(client, repo, blobs, tags)
        client.close()
        for end in (server.kill, server.stop, server.kill):
            ballast.fill()
            end()
            ballast.fill()
            server.start()
            check_reads(client, repo, blobs, tags)
            client.close()
        said = subprocess.run([BERTH, "ls", "--data", str(server.data)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert said.returncode == 0 and repo in said.stdout.decode(), said
        ballast.drop()
        other = push_image(client, repo, "three", seed="three")
        check_reads(client, repo, blobs, tags | {"three": other.body})


def test_the_disk_fills_up_at_each_step_of_a_push(server, disk):
    """A little more room each time: every file and the catalogue run out of it
    in turn. Nothing acknowledged is lost, nothing refused is half there, and no restart is needed."""
    repo, ballast = "full/steps", Ballast(disk)
    blobs, manifests, refused = {}, {}, 0
    with server.client() as client:
        for pages in STEPS:
            ballast.fill()
            ballast.fill(leave=pages * PAGE)
            tag = f"p{pages}"
            body, done = try_image(client, repo, tag, f"step {pages}")
            blobs |= done
            if body:
                manifests[tag] = body
            else:
                refused += 1
                assert client.get(f"/v2/{repo}/manifests/{tag}").status == 404
            check_reads(client, repo, blobs, manifests)
            ballast.drop()
            if not body:
                # The same again, in the same server, now with room.
                body, done = try_image(client, repo, tag, f"step {pages}")
                assert body, "there is room, and still it is refused"
                blobs |= done
                manifests[tag] = body
            check_reads(client, repo, blobs, manifests)
        assert 3 <= refused < len(STEPS), f"{refused} of {len(STEPS)} met the full disk"
        client.close()
        server.kill()
        server.start()
        check_reads(client, repo, blobs, manifests)


def test_deletes_and_tags_on_a_full_disk_are_done_or_refused(server, disk):
    repo, ballast = "full/deletes", Ballast(disk)
    with server.client() as client:
        images = {f"t{n}": push_image(client, repo, f"t{n}", seed=f"d {n}") for n in range(6)}
        manifests = {tag: i.body for tag, i in images.items()}
        ballast.fill()
        for tag, image in list(images.items())[:3]:
            reply = client.delete(f"/v2/{repo}/manifests/{image.digest}", faults=True)
            assert reply.status in (202, NO_SPACE), reply
            if reply.status == 202:
                del manifests[tag]
            check_reads(client, repo, {}, manifests)
            reply = client.delete(f"/v2/{repo}/blobs/{image.blobs[1]}", faults=True)
            assert reply.status in (202, 405, 409, NO_SPACE) or tag in manifests, reply
            check_reads(client, repo, {}, manifests)
        ballast.drop()
        for tag in list(manifests):
            assert client.delete(f"/v2/{repo}/manifests/{tag}").status == 202
            del manifests[tag]
        image = push_image(client, repo, "new", seed="new")
        check_reads(client, repo, {}, {"new": image.body})
