"""The `_catalog` extension that the specification reserves: listing repositories."""

import pytest
from harness import Server, push_blob, push_image

NAMES = ["alpha", "alpha/one", "alpha/two", "beta", "gamma/deep/er", "gamma_x"]


@pytest.fixture(scope="module")
def catalog(server):
    """A client of a server with just these repositories."""
    with server.client() as c:
        for name in NAMES:
            push_image(c, name, "v1")
        yield c


def names_of(reply):
    assert reply.status == 200, reply
    return reply.json()["repositories"]


def test_catalog_of_an_empty_registry_is_an_empty_list(tmp_path):
    with Server(tmp_path) as server, server.client() as client:
        reply = client.get("/v2/_catalog")
        assert reply.json() == {"repositories": []}
        assert reply.next is None


def test_catalog_lists_all_in_order(catalog):
    reply = catalog.get("/v2/_catalog")
    assert reply.json() == {"repositories": sorted(NAMES)}
    assert reply.header("Content-Type").split(";")[0] == "application/json"
    assert reply.next is None


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_catalog_n_limits_and_links(catalog, n):
    reply = catalog.get(f"/v2/_catalog?n={n}")
    assert names_of(reply) == sorted(NAMES)[:n]
    assert reply.next.startswith("/v2/_catalog?")


@pytest.mark.parametrize("n", [6, 7, 100, 1000, 2147483647])
def test_catalog_n_beyond_the_end_has_no_link(catalog, n):
    reply = catalog.get(f"/v2/_catalog?n={n}")
    assert names_of(reply) == sorted(NAMES)
    assert reply.next is None


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_catalog_pages_have_each_name_once(catalog, n):
    pages = [names_of(reply) for reply in catalog.pages(f"/v2/_catalog?n={n}")]
    assert sum(pages, []) == sorted(NAMES)
    assert pages[-1]


@pytest.mark.parametrize("query", ["n=2&last=alpha/one", "last=alpha%2Fone&n=2"])
def test_catalog_last_begins_after_that_name(catalog, query):
    assert names_of(catalog.get(f"/v2/_catalog?{query}")) == ["alpha/two", "beta"]


def test_catalog_last_works_without_n_and_need_not_exist(catalog):
    assert names_of(catalog.get("/v2/_catalog?last=beta")) == ["gamma/deep/er", "gamma_x"]
    assert names_of(catalog.get("/v2/_catalog?last=b")) == ["beta", "gamma/deep/er", "gamma_x"]
    assert names_of(catalog.get("/v2/_catalog?last=zzz")) == []
    assert names_of(catalog.get("/v2/_catalog?last=&n=100")) == sorted(NAMES)  # as podman begins


def test_catalog_n_of_0_is_empty_without_link(catalog):
    reply = catalog.get("/v2/_catalog?n=0")
    assert names_of(reply) == []
    assert reply.next is None


@pytest.mark.parametrize("n", ["-1", "x", "1x", ""])
def test_catalog_n_that_is_no_count_is_400(catalog, n):
    assert catalog.get(f"/v2/_catalog?n={n}").status == 400


def test_catalog_knows_a_new_repository_at_once(tmp_path):
    with Server(tmp_path) as own, own.client() as client:
        push_blob(client, "new/one", b"x")
        push_image(client, "new/two", "v1")
        assert names_of(client.get("/v2/_catalog")) == ["new/one", "new/two"]


def test_catalog_of_many_long_names_has_each_once(tmp_path):
    names = [f"n{n:03}" + "/part" * 50 for n in range(400)]  # some 100 KiB
    with Server(tmp_path) as server, server.client() as client:
        digest = push_blob(client, names[0], b"a blob for all")
        for name in names[1:]:
            reply = client.post(f"/v2/{name}/blobs/uploads/?mount={digest}&from={names[0]}")
            assert reply.status == 201, reply
        reply = client.get("/v2/_catalog")
        assert names_of(reply) == names
        assert reply.next is None
        reply = client.get("/v2/_catalog?n=390")
        assert names_of(reply) == names[:390]
        assert names_of(client.get(reply.next)) == names[390:]


def test_catalog_upload_that_was_only_begun_is_no_repository(tmp_path):
    with Server(tmp_path) as own, own.client() as client:
        client.post("/v2/begun/blobs/uploads/")
        assert names_of(client.get("/v2/_catalog")) == []
        assert client.get("/v2/begun/tags/list").status == 404
