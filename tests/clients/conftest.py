import os
import shutil

import pytest

import engines

PROGRAMS = ("/usr/bin/docker", "/usr/sbin/dockerd", "/usr/bin/podman", "/usr/bin/skopeo",
            "/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/umoci", "/usr/bin/buildah",
            "/bin/busybox", "/usr/bin/unshare", "/usr/bin/setpriv")


@pytest.fixture(scope="session")
def berth():
    missing = [p for p in PROGRAMS if not os.access(p, os.X_OK)]
    assert not missing, f"not installed: {', '.join(missing)}"
    assert os.geteuid() == 0, "container engines need root"
    program = os.environ.get("BERTH", str(engines.ROOT / "build" / "berth"))
    assert shutil.which(program), f"{program} is missing: build it, or name another one in BERTH"
    return os.path.abspath(program)


@pytest.fixture
def bench(berth):
    bench = engines.Bench(berth)
    yield bench
    bench.close()


@pytest.fixture
def registry(bench):
    return bench.registry()


@pytest.fixture
def docker(bench):
    return bench.client(engines.Docker)


@pytest.fixture
def podman(bench):
    return bench.client(engines.Podman)


@pytest.fixture
def skopeo(bench):
    return bench.client(engines.Skopeo)


@pytest.fixture
def containerd(bench):
    return bench.client(engines.Containerd)


@pytest.fixture
def buildah(bench):
    return bench.client(engines.Buildah)


@pytest.fixture
def layout(bench):
    return bench.layout()
