"""Fixtures for the tests against the real program: one server for each test module.

`server` runs it, `client` is a connection to it, `repo` a repository name of the test's own, so
that tests share a server and do not meet. When a test fails, what the server logged during the
test is shown with it. Code to share stands in harness.py.
"""

import re

import pytest
from harness import BERTH, Server


def pytest_report_header(config):
    return f"berth: {BERTH}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("berth"))
    s.start()
    try:
        yield s
    except BaseException:
        s.kill()
        raise
    s.stop()


@pytest.fixture
def client(server):
    with server.client() as c:
        yield c


@pytest.fixture
def repo(request):
    """A repository name made of the test's: unique in its module."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"tests/{name[:180]}"


@pytest.fixture(params=["sha256", "sha512"])
def alg(request):
    return request.param


# The log of a failed test. ------------------------------------------------------------------------


def servers_of(item):
    return [v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Server)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    item.berth_logs = [(s, s.log_size()) for s in servers_of(item)]
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when == "call":
        for server, start in getattr(item, "berth_logs", []):
            report.sections.append((f"log of berth on port {server.port}", server.log_text(start)))
