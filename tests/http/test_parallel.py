"""Many clients push the same content at the same time: all succeed, and there is one copy."""

from harness import (OCI_CONFIG, OCI_LAYER, OCTETS, descriptor, digest_of, encode, image_manifest, noise,
                     parallel, push_blob, push_manifest, with_query)

CLIENTS = 64


def files(server, folder):
    return [p for p in (server.data / folder).rglob("*") if p.is_file()]


def test_64_clients_push_the_same_blob_and_tags_of_their_own(server):
    repo = "parallel/same"
    config, layer = encode({"parallel": True}), noise(300_000, "parallel")
    body = image_manifest(descriptor(config, OCI_CONFIG), [descriptor(layer, OCI_LAYER)])
    before = {p.name for p in files(server, "blobs")}

    def one(number):
        with server.client() as client:
            push_blob(client, repo, layer)
            push_blob(client, repo, config)
            push_manifest(client, repo, f"tag-{number}", body)

    parallel([lambda n=n: one(n) for n in range(CLIENTS)])
    with server.client() as client:
        tags = client.get(f"/v2/{repo}/tags/list").json()["tags"]
        assert sorted(tags) == sorted(f"tag-{n}" for n in range(CLIENTS))
        for tag in tags:
            assert client.get(f"/v2/{repo}/manifests/{tag}").body == body
        assert client.get(f"/v2/{repo}/blobs/{digest_of(layer)}").body == layer
    new = [p.name for p in files(server, "blobs") if p.name not in before]
    assert sorted(new) == sorted(digest_of(b).split(":")[1] for b in (layer, config, body)), "not one copy"
    assert not files(server, "uploads") and not files(server, "trash")


def test_64_clients_push_an_image_of_their_own_on_a_shared_layer(server):
    """Each its own manifest, tag and repository: all the catalogue's writers meet."""
    layer = noise(50_000, "shared layer")

    def one(number):
        repo = f"parallel/own-{number % 8}"
        config = encode({"number": number})
        body = image_manifest(descriptor(config, OCI_CONFIG), [descriptor(layer, OCI_LAYER)])
        with server.client() as client:
            push_blob(client, repo, layer)
            push_blob(client, repo, config)
            push_manifest(client, repo, f"own-{number}", body)
            push_manifest(client, repo, "moving", body)
        return repo, number, body

    done = parallel([lambda n=n: one(n) for n in range(CLIENTS)])
    with server.client() as client:
        for repo, number, body in done:
            assert client.get(f"/v2/{repo}/manifests/own-{number}").body == body
        for n in range(8):
            moving = client.get(f"/v2/parallel/own-{n}/manifests/moving").body
            assert moving in [body for repo, _, body in done if repo == f"parallel/own-{n}"]
    assert sum(p.name == digest_of(layer).split(":")[1] for p in files(server, "blobs")) == 1
    assert not files(server, "uploads")


def test_64_clients_race_for_one_session_and_one_wins(server):
    """A session has one writer at a time: the others are told so, and the bytes are not mixed."""
    repo, data = "parallel/session", noise(200_000, "session")
    with server.client() as client:
        begun = client.post(f"/v2/{repo}/blobs/uploads/")

    def one():
        with server.client() as client:
            return client.put(with_query(begun.location, digest=digest_of(data)), data,
                              {"Content-Type": OCTETS}, faults=True).status

    statuses = parallel([one for _ in range(CLIENTS)])
    assert statuses.count(201) >= 1, statuses
    # 404: it has ended. 416: some of it is there. 400: so it is not the announced content.
    assert set(statuses) <= {201, 400, 404, 409, 416, 429}, statuses
    with server.client() as client:
        assert client.get(f"/v2/{repo}/blobs/{digest_of(data)}").body == data


def test_pushes_and_deletes_of_the_same_blob_never_serve_half(server):
    """While some link a file again, others drop the last link to it: whoever was told 201 finds
    the content, unless deleted in the same repository, and nobody reads other bytes."""
    data = noise(20_000, "push and delete")
    digest = digest_of(data)

    def one(number):
        repo = f"parallel/delete-{number}"
        with server.client() as client:
            for _ in range(12):
                push_blob(client, repo, data)
                got = client.get(f"/v2/{repo}/blobs/{digest}")
                assert got.status == 200 and got.body == data, got
                assert client.delete(f"/v2/{repo}/blobs/{digest}").status == 202
                assert client.get(f"/v2/{repo}/blobs/{digest}").status == 404

    parallel([lambda n=n: one(n) for n in range(16)])
    assert not [p for p in files(server, "blobs") if p.name == digest.split(":")[1]], "a file is left over"
    assert not files(server, "trash") and not files(server, "uploads")
