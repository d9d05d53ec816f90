"""The program as people and scripts meet it: commands, exit codes, settings, signals."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from harness import (BERTH, OCI_CONFIG, OCI_INDEX, ROOT, SANITIZER_MARKS, Server, descriptor, digest_of,
                     free_port, image_manifest, index_manifest, no_digest, parallel, push_artifact, push_blob,
                     push_image, push_manifest)

DONE, FAILED, USAGE, FAULT = 0, 1, 2, 3  # the exit codes of the man page

COMMANDS = ["serve", "check", "ls", "tag", "rm", "rebuild", "sync-layout", "version", "help"]
MAN = ROOT / "src" / "cli" / "man"


def environment(**more):
    """This process's environment, without settings of berth's that may be in it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
    return {**clean, **more}


def berth(*args, code=DONE, stdin=subprocess.DEVNULL, timeout=120, **env):
    """Run a command to its end. code: what it must exit with, None for any."""
    done = subprocess.run([BERTH, *map(str, args)], stdin=stdin, capture_output=True, text=True,
                          timeout=timeout, env=environment(**env))
    said = f"berth {' '.join(map(str, args))} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert not [m for m in SANITIZER_MARKS if m in done.stderr], said
    assert code is None or done.returncode == code, said
    return done


def berth_json(*args, **options):
    return json.loads(berth(*args, "--json", **options).stdout)


def on_terminal(*args, answer="", timeout=60):
    """Run a command with a terminal on all three sides: exit code, all that it showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen([BERTH, *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
                               env=environment(TERM="xterm"), close_fds=True)
    os.close(slave)
    shown = b""
    end = time.monotonic() + timeout
    if answer:
        os.write(master, answer.encode())
    while time.monotonic() < end:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    process.kill() if process.poll() is None and time.monotonic() >= end else None
    os.close(master)
    return process.wait(), shown.decode().replace("\r\n", "\n")


def settings_of(*args, **env):
    return {s["name"]: s for s in berth_json("check", *args, **env)["settings"]}


def wait_for(condition, what, timeout=30):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.02)


def tags_of_layout(data):
    index = json.loads((data / "index.json").read_text())
    return {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in index["manifests"]}


@pytest.fixture
def config(tmp_path):
    """Write a settings file: its path."""
    def write(text, name="berth.conf"):
        path = tmp_path / name
        path.write_text(text)
        return path
    return write


@pytest.fixture
def own(tmp_path):
    """A server of the test's own, not started."""
    s = Server(tmp_path / "own")
    yield s
    s.kill()


@pytest.fixture(scope="module")
def stored(server):
    """What the tests that only look share: two platforms under an index, an artifact."""
    with server.client() as c:
        images = [push_image(c, "seen/app", f"1.0-{arch}", seed=arch) for arch in ("amd64", "arm64")]
        platforms = [{"os": "linux", "architecture": "amd64"},
                     {"os": "linux", "architecture": "arm64", "variant": "v8"}]
        body = index_manifest([i.descriptor(platform=p) for i, p in zip(images, platforms)])
        push_manifest(c, "seen/app", "1.0", body, OCI_INDEX)
        push_artifact(c, "seen/sbom", artifact_type="application/spdx+json", reference="latest")
    return {"data": server.data, "images": images, "index": body}


# The command line. --------------------------------------------------------------------------------


def test_help_names_every_command():
    text = berth("help").stdout
    assert re.findall(r"^  ([a-z-]+)  +\S", text, re.M) == COMMANDS
    assert berth("--help").stdout == text
    assert berth("-h").stdout == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_man_page(command):
    text = berth(command, "--help").stdout
    assert berth("help", command).stdout == text
    page = (MAN / "berth.1").read_text()
    assert re.search(rf"^\.It Cm {command}\b", page, re.M)
    # Each long option is described, between this command and the next or among those of all commands.
    own = re.split(r"^\.It Cm ", page[page.index(".Sh COMMANDS"):], flags=re.M)
    here = [part for part in own if part.startswith(command)]
    everywhere = page[page.index(".Sh OPTIONS"):page.index(".Sh COMMANDS")]
    for option in re.findall(r"--([a-z]+)", text[text.index("Options:"):]) if "Options:" in text else []:
        assert f"Fl Fl {option}" in everywhere + here[0], option


def test_without_a_command_the_commands_are_shown_and_nothing_is_done():
    done = berth(code=USAGE)
    assert done.stdout == "" and "serve" in done.stderr


@pytest.mark.parametrize("args, told", [
    (["sreve"], 'there is no command "sreve"; is it "berth serve"?'),
    (["push"], 'there is no command "push"; "berth help" lists them'),
    (["--data", "x", "ls"], 'options stand after the command: "berth serve --data DIR"'),
    (["help", "rebiuld"], 'is it "berth rebuild"?'),
    (["ls", "--jsno"], "there is no option --jsno; is it --json?"),
    (["ls", "-x"], "there is no option -x"),
    (["ls", "--listen", ":1"], "there is no option --listen"),
    (["ls", "--data"], "--data needs a value"),
    (["ls", "-d"], "-d needs a value"),
    (["ls", "--json=1"], "--json takes no value"),
    (["ls", "a", "b"], '"b" is too much'),
    (["serve", "here"], '"here" is too much'),
    (["tag"], "arguments are missing: berth tag REPO:TAG|REPO@DIGEST NEWTAG..."),
    (["tag", "a:b"], "arguments are missing"),
    (["rm"], "arguments are missing"),
    (["rm", "app"], 'what of "app"? Write app:TAG, app@DIGEST or, for all of it, --all app'),
    (["rm", "--yes", "app:1"], "--yes goes with --all"),
    (["rm", "--all", "app"], "--all needs --yes where nobody can be asked"),
    (["rm", "--all", "--yes", "app:1"], '"app:1" names one image: a repository alone is "app"'),
    (["tag", "app", "x"], 'which image of "app"? Write app:TAG or app@DIGEST'),
    (["tag", "app:1", "other:2"], '"other:2" is in another repository: tags can be given within "app" only'),
    (["tag", "app:1", "app:2"], '"app:2": write the new tag alone, without the repository'),
    (["tag", "app:1", "-2"], "there is no option -2"),
    (["tag", "app:1", "--", "-2"], '"-2" is no tag'),
    (["tag", "app:1", "x" * 129], "is no tag: up to 128"),
    (["tag", "localhost:5000/app:1", "x"], 'leave the host away: "app:1"'),
    (["ls", "gateway:5000/team/app"], 'leave the host away: "team/app"'),
    (["ls", "Team/App"], '"Team/App" is no repository name'),
    (["ls", "a/../b"], '"a/../b" is no repository name'),
    (["rm", "app@sha256:123"], 'a digest is "sha256:" or "sha512:"'),
    (["rm", "app:.x"], '"app:.x": a tag is up to 128'),
], ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "")
def test_a_wrong_command_line_is_explained(args, told, tmp_path):
    done = berth(*args, code=USAGE, BERTH_STORAGE_DATA=str(tmp_path / "data"))
    assert told in done.stderr, done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "data").exists()


def test_version_tells_itself_and_what_is_inside():
    text = berth("version").stdout
    assert re.fullmatch(r"berth \d+\.\d+\.\d+\S*\n", text)
    assert berth("--version").stdout == text
    lines = berth("version", "--deps").stdout.splitlines()
    assert lines[0] + "\n" == text
    names = [line.split()[0] for line in lines[1:]]
    assert {"civetweb", "mbedtls", "sqlite", "yyjson", "inih"} <= set(names)
    value = berth_json("version", "--deps")
    assert f"berth {value['version']}\n" == text
    assert [d["name"] for d in value["dependencies"]] == names
    assert all(d["version"] for d in value["dependencies"])
    assert berth_json("version") == {"version": value["version"]}


def test_output_that_cannot_be_written_is_a_fault():
    with open("/dev/full", "w") as full:
        done = subprocess.run([BERTH, "version"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == FAULT
    assert "the output could not be written" in done.stderr


def test_the_man_pages_have_no_errors():
    if not shutil.which("groff"):
        pytest.skip("groff (groff-base) is not installed")
    for page in sorted(MAN.iterdir()):
        done = subprocess.run(["groff", "-mandoc", "-Tutf8", "-ww", page], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), page


# Settings. ----------------------------------------------------------------------------------------


def test_the_settings_file_of_the_board_shows_every_setting_with_its_default(config, tmp_path):
    data = ["--data", tmp_path / "none"]
    text = (ROOT / "boards" / "x86_64" / "berth.conf").read_text()
    usual = settings_of(*data)
    # As it is, it changes nothing.
    assert settings_of(*data, "--config", config(text)) == usual
    # With every example taken, each setting comes from the file, and is what it was.
    taken = settings_of("--config", config(re.sub(r"^#([a-z_]+ = )", r"\1", text, flags=re.M)))
    assert {n for n, s in taken.items() if s["from"] == "default"} == set()
    assert {n: s["value"] for n, s in taken.items()} == {n: s["default"] for n, s in usual.items()}


def test_the_manual_and_the_readme_know_every_setting():
    page = (MAN / "berth.conf.5").read_text()
    readme = (ROOT / "README.md").read_text()
    for name, s in settings_of("--data", "/nowhere").items():
        section, key = name.split(".")
        part = page[page.index(f".Ss [{section}]"):].split(".Ss ")[1]
        entry = re.split(r"^\.It Cm ", part, flags=re.M)
        entry = [e for e in entry if e.startswith(f"{key} ")]
        assert len(entry) == 1, name
        assert f"Default: {s['default']}.\n" in entry[0], name
        assert (".Em Reloaded" in entry[0]) == s["reload"], name
        assert f"| `{name}` | `{s['default']}` |" in readme, name


@pytest.mark.parametrize("text, reason", [
    ("[server]\nlisten = localhost:5000\n", '2: "localhost" is no numeric address'),
    ("\n\n[server]\nlisen = :1\n", '4: [server] has no setting "lisen"; is it "listen"?'),
    ("[servre]\nlisten = :1\n", "2: there is no section [servre]; is it [server]?"),
    ("[log]\nlevel = info\nlevel = info\n", "3: level is set twice: it stands in line 2 already"),
    ("[limits]\nworkers = 0\n", "2: workers: 0 is out of range: from 4 to 4096"),
    ("[limits\n", '1: this is neither "name = value" nor "[section]"'),
])
@pytest.mark.parametrize("command", ["serve", "check", "ls"])
def test_a_mistake_in_the_file_stops_with_file_line_and_reason(config, tmp_path, command, text, reason):
    path = config(text)
    done = berth(command, "--data", tmp_path / "data", "--config", path, code=USAGE)
    assert done.stderr.startswith(f"{path}:{reason}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_a_settings_file_that_is_named_must_be_there(tmp_path):
    done = berth("serve", "--data", tmp_path / "data", "--config", tmp_path / "no.conf", code=USAGE)
    assert done.stderr == f"{tmp_path}/no.conf: cannot read the settings: No such file or directory\n"


@pytest.mark.parametrize("name, value, reason", [
    ("BERTH_LIMITS_WORKERS", "many", 'workers: "many" is no whole number'),
    ("BERTH_LIMITS_WORKER", "8", '[limits] has no setting "worker"; is it "workers"?'),
    ("BERTH_SERVER_LISTEN", "", "listen is empty"),
])
def test_a_mistake_in_the_environment_stops_with_the_variable(tmp_path, name, value, reason):
    done = berth("serve", "--data", tmp_path / "data", code=USAGE, **{name: value})
    assert done.stderr == f"{name}: {reason}\n"


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(config, tmp_path):
    path = config(f"[storage]\ndata = {tmp_path}/file\n[log]\nlevel = warn\n[limits]\nworkers = 7\n")
    now = settings_of("--config", path, "--data", tmp_path / "line", BERTH_STORAGE_DATA="/environment",
                      BERTH_LOG_LEVEL="error", BERTH_CACHE="/not/a/setting")
    assert now["storage.data"]["value"] == f"{tmp_path}/line"
    assert now["storage.data"]["from"] == "--data"
    assert (now["log.level"]["value"], now["log.level"]["from"]) == ("error", "BERTH_LOG_LEVEL")
    assert (now["limits.workers"]["value"], now["limits.workers"]["from"]) == ("7", f"{path}:6")
    assert now["server.listen"]["from"] == "default"


# check. -------------------------------------------------------------------------------------------


def test_check_shows_settings_and_totals(stored):
    text = berth("check", "--data", stored["data"]).stdout
    assert re.search(r"^server\.listen +:5000 +default$", text, re.M)
    assert "the catalogue is sound" in text
    data = berth_json("check", "--data", stored["data"])["data"]
    assert data["exists"] is True and data["error"] is None
    assert data["repositories"] == 2 and data["tags"] == 4 and data["manifests"] == 4


def test_check_before_the_first_start_is_content(tmp_path):
    done = berth("check", "--data", tmp_path / "none")
    assert f'{tmp_path}/none: not there yet; "berth serve" makes it' in done.stdout
    assert berth_json("check", "--data", tmp_path / "none")["data"] == {
        "path": f"{tmp_path}/none", "exists": False, "error": None}
    assert not (tmp_path / "none").exists()


def test_check_deep_finds_a_flipped_bit_and_a_missing_blob(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1", layers=2)
        report = berth_json("check", "--deep", "--data", own.data)["data"]
        assert (report["read"], report["damaged"], report["missing"]) == (4, 0, 0)
        assert "all match their digests" in berth("check", "--deep", "--data", own.data).stdout
        rotten, lost = (digest_of(b) for b in image.layers)
        file = own.blob_file(rotten)
        content = bytearray(file.read_bytes())
        content[10] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
        own.blob_file(lost).unlink()
        # Without --deep nothing is read; with it both are found, and nothing is changed.
        berth("check", "--data", own.data)
        done = berth("check", "--deep", "--data", own.data, code=FAULT)
        assert f"{rotten}: damaged: the bytes do not match the digest\n" in done.stderr
        assert f"{lost}: missing: a manifest names it in some/app\n" in done.stderr
        assert "3 blobs read: 1 damaged, 1 missing" in done.stdout
        report = berth_json("check", "--deep", "--data", own.data, code=FAULT)["data"]
        assert {p["digest"] for p in report["problems"]} == {rotten, lost}
        assert file.exists()


# ls. ----------------------------------------------------------------------------------------------


def test_ls_lists_repositories_in_aligned_columns(stored):
    lines = berth("ls", "--data", stored["data"]).stdout.splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAGS", "SIZE"]
    rows = [line.split(maxsplit=2) for line in lines[1:]]
    assert [r[:2] for r in rows] == [["seen/app", "3"], ["seen/sbom", "1"]]
    assert re.fullmatch(r"\d+(\.\d)? (B|KiB)", rows[0][2])
    assert len({len(line) for line in lines}) == 1
    value = berth_json("ls", "--data", stored["data"])["repositories"]
    assert [(r["name"], r["tags"], r["manifests"]) for r in value] == [
        ("seen/app", 3, 3), ("seen/sbom", 1, 1)]


def test_ls_of_a_repository_tells_what_each_tag_is(stored):
    lines = berth("ls", "--data", stored["data"], "seen/app").stdout.splitlines()
    assert lines[0].split() == ["TAG", "DIGEST", "SIZE", "KIND", "PLATFORMS", "UPDATED"]
    first = re.split(r"  +", lines[1])
    assert first[0] == "1.0" and first[1] == digest_of(stored["index"])[:19]
    assert first[3:5] == ["index", "linux/amd64,linux/arm64/v8"]
    assert re.fullmatch(r"just now|\d+ (second|minute)s?", first[5])
    assert re.split(r"  +", lines[2])[3:5] == ["image", "linux/amd64"]

    value = berth_json("ls", "--data", stored["data"], "seen/app")
    assert value["name"] == "seen/app"
    tags = {t["tag"]: t for t in value["tags"]}
    assert sorted(tags) == ["1.0", "1.0-amd64", "1.0-arm64"]
    assert tags["1.0"]["digest"] == digest_of(stored["index"])
    assert tags["1.0"]["media_type"] == OCI_INDEX
    image = stored["images"][0]
    size = len(image.body) + len(image.config) + sum(map(len, image.layers))
    assert tags["1.0-amd64"]["size"] == size
    assert tags["1.0"]["size"] == len(stored["index"]) + sum(
        t["size"] for n, t in tags.items() if n != "1.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", tags["1.0"]["updated_at"])

    artifact = berth_json("ls", "--data", stored["data"], "seen/sbom")["tags"][0]
    assert (artifact["kind"], artifact["artifact_type"]) == ("artifact", "application/spdx+json")


def test_ls_of_an_index_with_many_platforms_counts_them(server, client, repo):
    image = push_image(client, repo)
    platforms = [{"os": "linux", "architecture": a} for a in ("amd64", "arm", "arm64", "riscv64")]
    platforms += [{"os": "unknown", "architecture": "unknown"}]
    body = index_manifest([image.descriptor(platform=p) for p in platforms])
    push_manifest(client, repo, "all", body, OCI_INDEX)
    assert "4 platforms" in berth("ls", "--data", server.data, repo).stdout
    tag = berth_json("ls", "--data", server.data, repo)["tags"][0]
    assert tag["platforms"] == ["linux/amd64", "linux/arm", "linux/arm64", "linux/riscv64"]


def test_ls_shows_nothing_of_a_platform_that_could_upset_a_terminal(server, client, repo):
    image = push_image(client, repo)
    body = index_manifest([image.descriptor(platform={"os": "\x1b[31mlinux", "architecture": "a\nb"})])
    push_manifest(client, repo, "odd", body, OCI_INDEX)
    text = berth("ls", "--data", server.data, repo).stdout
    assert "\x1b" not in text and len(text.splitlines()) == 2
    assert "?[31mlinux/a?b" in text


@pytest.mark.parametrize("filler, shown", [('"some words of a history"', ["linux/amd64"]), ("0", [])],
                         ids=["usual", "hostile"])
def test_a_large_image_configuration_is_looked_into_only_if_that_takes_little_memory(server, client, repo,
                                                                                     filler, shown):
    head = b'{"os":"linux","architecture":"amd64","x":['
    items = (b"," + filler.encode()) * ((200 << 10) // (len(filler) + 1))
    config = head + items[1:] + b"]}"
    push_blob(client, repo, config)
    push_manifest(client, repo, "v1", image_manifest(descriptor(config, OCI_CONFIG), []))
    assert berth_json("ls", "--data", server.data, repo)["tags"][0]["platforms"] == shown


def test_ls_goes_through_more_tags_than_a_page(server, client, repo):
    image = push_image(client, repo, "t0")
    names = [f"t{n}" for n in range(1, 450)]
    for start in range(0, len(names), 30):
        query = "?" + "&".join(f"tag={n}" for n in names[start:start + 30])
        push_manifest(client, repo, image.digest, image.body, query=query)
    tags = [t["tag"] for t in berth_json("ls", "--data", server.data, repo)["tags"]]
    assert tags == sorted(["t0", *names])


def test_ls_of_nothing_says_so(own):
    with own:
        done = berth("ls", "--data", own.data)
        assert (done.stdout, done.stderr) == ("", "no repositories yet\n")
        assert berth_json("ls", "--data", own.data) == {"repositories": []}
        done = berth("ls", "--data", own.data, "some/app", code=FAILED)
        assert 'no repository "some/app": "berth ls" lists them' in done.stderr
        assert berth("ls", "--data", own.data, "--json", "some/app", code=FAILED).stdout == ""


@pytest.mark.parametrize("args", [["ls"], ["tag", "a:1", "2"], ["rm", "a:1"], ["rebuild"], ["sync-layout"]],
                         ids=lambda a: a[0])
def test_a_command_without_a_data_directory_says_how_to_get_one(tmp_path, args):
    done = berth(*args, "--data", tmp_path / "none", code=FAILED)
    assert f"no data directory at {tmp_path}/none" in done.stderr and "--data" in done.stderr
    assert not (tmp_path / "none").exists()


# tag and rm. --------------------------------------------------------------------------------------


def test_tag_gives_an_image_further_tags_and_moves_one_that_exists(server, client, repo):
    old = push_image(client, repo, "stable", seed="old")
    new = push_image(client, repo, "1.1", seed="new")
    done = berth("tag", "--data", server.data, f"{repo}:1.1", "stable", "latest")
    assert done.stdout == f"{repo}:stable -> {new.digest}\n{repo}:latest -> {new.digest}\n"
    assert client.get(f"/v2/{repo}/manifests/stable").digest == new.digest
    assert client.get(f"/v2/{repo}/manifests/latest").body == new.body
    value = berth_json("tag", "--data", server.data, f"{repo}@{old.digest}", "previous")
    assert value == {"name": repo, "digest": old.digest, "tags": ["previous"]}
    assert client.get(f"/v2/{repo}/manifests/previous").digest == old.digest


def test_tag_of_what_is_not_there_fails(server, client, repo):
    push_image(client, repo, "1")
    done = berth("tag", "--data", server.data, f"{repo}:2", "3", code=FAILED)
    assert f'there is no {repo}:2: "berth ls {repo}" shows the tags' in done.stderr
    done = berth("tag", "--data", server.data, f"{repo}@{no_digest()}", "3", code=FAILED)
    assert f"there is no {repo}@" in done.stderr
    done = berth("tag", "--data", server.data, "no/such:1", "3", code=FAILED)
    assert 'no repository "no/such"' in done.stderr
    assert client.get(f"/v2/{repo}/tags/list").json()["tags"] == ["1"]


def test_rm_of_a_tag_leaves_the_image(server, client, repo):
    image = push_image(client, repo, "1")
    push_manifest(client, repo, "2", image.body)
    assert berth("rm", "--data", server.data, f"{repo}:1").stdout == f"removed {repo}:1\n"
    assert client.get(f"/v2/{repo}/manifests/1").status == 404
    assert client.get(f"/v2/{repo}/manifests/2").status == 200
    assert client.get(f"/v2/{repo}/manifests/{image.digest}").status == 200


def test_rm_of_a_digest_takes_the_manifest_with_its_tags(server, client, repo):
    image = push_image(client, repo, "1")
    push_manifest(client, repo, "2", image.body)
    berth("rm", "--data", server.data, f"{repo}@{image.digest}")
    for reference in ("1", "2", image.digest):
        assert client.get(f"/v2/{repo}/manifests/{reference}").status == 404


def test_rm_does_not_take_an_image_that_an_index_needs(server, client, repo):
    image = push_image(client, repo)
    push_manifest(client, repo, "all", index_manifest([image.descriptor()]), OCI_INDEX)
    done = berth("rm", "--data", server.data, f"{repo}@{image.digest}", code=FAILED)
    assert "an index of this repository names it: remove that first" in done.stderr
    assert client.get(f"/v2/{repo}/manifests/{image.digest}").status == 200


def test_rm_tries_all_its_arguments(server, client, repo):
    push_image(client, repo, "1")
    done = berth("rm", "--data", server.data, f"{repo}:0", f"{repo}:1", code=FAILED)
    assert done.stdout == f"removed {repo}:1\n"
    assert f"{repo}:0: it is not there" in done.stderr
    value = berth_json("rm", "--data", server.data, f"{repo}:1", code=FAILED)
    assert value == {"removed": [], "failed": [{"name": f"{repo}:1", "reason": "it is not there"}]}
    push_image(client, repo, "1")
    assert berth_json("rm", "--data", server.data, f"{repo}:1") == {"removed": [f"{repo}:1"], "failed": []}


def test_rm_all_takes_the_repository_and_its_files(own):
    with own:
        with own.client() as c:
            shared = push_image(c, "some/app", "1", seed="shared")
            push_image(c, "other/app", "1", seed="shared")
            alone = push_image(c, "some/app", "2", seed="alone")
            berth("rm", "--all", "--yes", "--data", own.data, "some/app")
            assert c.get("/v2/some/app/tags/list").status == 404
            assert c.get("/v2/other/app/manifests/1").digest == shared.digest
            assert all(own.blob_file(d).exists() for d in shared.blobs)
            assert not any(own.blob_file(d).exists() for d in [alone.digest, *alone.blobs])
            done = berth("rm", "--all", "--yes", "--data", own.data, "some/app", code=FAILED)
            assert "some/app: it is not there" in done.stderr


@pytest.mark.parametrize("answer, goes", [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False)])
def test_rm_all_asks_on_a_terminal(server, client, repo, answer, goes):
    repo = f"{repo}-{'yes' if goes else 'no'}{len(answer)}"
    push_image(client, repo, "1")
    code, shown = on_terminal("rm", "--all", "--data", server.data, repo, answer=answer)
    assert f"Remove all of {repo} (1 tag, 1 manifest, " in shown
    assert code == (DONE if goes else FAILED)
    assert (f"removed {repo}" if goes else f"{repo} is left as it is") in shown
    assert client.get(f"/v2/{repo}/tags/list").status == (404 if goes else 200)


def test_commands_work_beside_pushes(server, repo):
    with server.client() as c:
        image = push_image(c, repo, "base")

    def push(n):
        with server.client() as own_client:
            return push_image(own_client, repo, f"pushed-{n}", seed=n).digest

    def tag(n):
        return berth("tag", "--data", server.data, f"{repo}:base", f"tagged-{n}").returncode

    parallel([lambda n=n: push(n) for n in range(4)] + [lambda n=n: tag(n) for n in range(4)])
    tags = {t["tag"]: t["digest"] for t in berth_json("ls", "--data", server.data, repo)["tags"]}
    assert len(tags) == 9
    assert all(tags[f"tagged-{n}"] == image.digest != tags[f"pushed-{n}"] for n in range(4))


def test_commands_work_without_a_server(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1")
    running = berth("ls", "--data", own.data, "some/app").stdout.splitlines()
    assert running[1].startswith("1  ")
    berth("tag", "--data", own.data, "some/app:1", "2")
    berth("rm", "--data", own.data, "some/app:1")
    with own:
        with own.client() as c:
            assert c.get("/v2/some/app/tags/list").json()["tags"] == ["2"]
            assert c.get("/v2/some/app/manifests/2").digest == image.digest


@pytest.fixture
def readable():
    """A data directory that a user may read and not write, and how to run as that user."""
    folder = Path(tempfile.mkdtemp(prefix="berth-test-"))  # pytest's own are closed to other users
    folder.chmod(0o755)
    s = Server(folder / "run", data=folder / "data").start()
    with s.client() as c:
        push_image(c, "some/app", "1")
    s.stop()
    s.data.chmod(0o555)
    program = shutil.copy(BERTH, folder / "berth")

    def run(*args, **options):
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run([program, *args, "--data", s.data], stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True, env=environment(), cwd="/", **user, **options)

    run.server = s
    yield run
    s.data.chmod(0o755)
    shutil.rmtree(folder)


def test_a_user_who_may_not_write_reads_and_is_told_why_no_more(readable):
    assert readable("ls", "some/app").stdout.splitlines()[1].startswith("1  ")
    assert "the catalogue is sound" in readable("check", "--deep").stdout
    for args in (["tag", "some/app:1", "2"], ["rm", "some/app:1"], ["rebuild", "--force"], ["sync-layout"]):
        done = readable(*args)
        assert done.returncode == FAULT, done
        assert "this user may not write to the data directory" in done.stderr.splitlines()[-1], done.stderr
    assert readable("ls", "some/app").stdout.splitlines()[1].startswith("1  ")


# rebuild and sync-layout. -------------------------------------------------------------------------


def lose_catalogue(server):
    for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
        (server.data / name).unlink(missing_ok=True)


def test_a_lost_catalogue_is_told_and_rebuilt(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1")
            artifact = push_artifact(c, "some/app", subject=image.descriptor(), artifact_type="test/sbom")
    lose_catalogue(own)
    # An empty catalogue beside blobs would look like a registry that has lost everything.
    for command in (["ls"], ["serve", "--listen", f"127.0.0.1:{free_port()}"]):
        done = berth(*command, "--data", own.data, code=FAULT)
        assert f'"berth rebuild --data {own.data}"' in done.stderr
    value = berth_json("rebuild", "--data", own.data)
    assert value == {"repositories": 1, "tags": 1, "manifests": 2, "blobs": 5, "missing": 0, "damaged": 0,
                     "unreadable": 0, "unreferenced": 0}
    with own:
        with own.client() as c:
            assert c.get("/v2/some/app/manifests/1").body == image.body
            for digest in image.blobs:
                assert digest_of(c.get(f"/v2/some/app/blobs/{digest}").body) == digest
            found = c.get(f"/v2/some/app/referrers/{image.digest}").json()["manifests"]
            assert [m["digest"] for m in found] == [artifact.digest]
    assert sorted(p.name for p in own.data.glob("catalog.db.new*")) == []


def test_rebuild_does_not_touch_a_catalogue_unless_forced(own):
    with own:
        with own.client() as c:
            push_image(c, "some/app", "1")
    done = berth("rebuild", "--data", own.data, code=FAILED)
    assert "has a catalogue: --force moves it aside" in done.stderr
    done = berth("rebuild", "--force", "--data", own.data)
    assert "the new catalogue has 1 repository, 1 tag, 1 manifest, 3 blobs" in done.stdout
    assert (own.data / "catalog.db.old").exists()


def test_rebuild_needs_the_server_stopped(own):
    with own:
        with own.client() as c:
            push_image(c, "some/app", "1")
            done = berth("rebuild", "--force", "--data", own.data, code=FAILED)
            assert "a server has" in done.stderr and "stop it first" in done.stderr
            assert c.get("/v2/some/app/manifests/1").status == 200


def test_rebuild_tells_what_is_damaged_and_what_is_missing(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1", layers=2)
            push_image(c, "good/app", "1", seed="good")
    rotten, lost = (digest_of(b) for b in image.layers)
    own.blob_file(rotten).chmod(0o644)
    own.blob_file(rotten).write_bytes(b"x" * len(image.layers[0]))
    own.blob_file(lost).unlink()
    done = berth("rebuild", "--force", "--verify", "--data", own.data, code=FAULT)
    assert "1 damaged: moved to quarantine/" in done.stdout
    assert "missing" in done.stdout
    assert [p.name for p in (own.data / "quarantine").iterdir()] != []
    with own:
        with own.client() as c:
            assert c.get("/v2/good/app/manifests/1").status == 200
            assert c.get(f"/v2/some/app/blobs/{rotten}").status == 404
            push_image(c, "some/app", "1", layers=2)
            assert digest_of(c.get(f"/v2/some/app/blobs/{rotten}").body) == rotten


def test_rebuild_and_check_tell_what_cannot_be_read(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1")
            push_image(c, "good/app", "1", seed="good")
    file = own.blob_file(image.digest)
    file.rename(own.data / "aside")
    file.symlink_to(own.data / "aside")  # not followed: opening it fails, as on a disk that dies
    done = berth("check", "--deep", "--data", own.data, code=FAULT)
    assert f"{image.digest}: damaged: it cannot be read" in done.stderr
    done = berth("rebuild", "--force", "--data", own.data, code=FAULT)
    assert "1 unreadable: left where they are" in done.stdout
    assert "some/app:1: left out: its manifest cannot be read from the disk" in done.stderr
    value = berth_json("rebuild", "--force", "--data", own.data, code=FAULT)
    assert (value["tags"], value["unreadable"], value["missing"], value["damaged"]) == (1, 1, 0, 0)
    file.unlink()
    (own.data / "aside").rename(file)
    value = berth_json("rebuild", "--force", "--data", own.data)
    assert (value["tags"], value["unreadable"]) == (2, 0)


def test_a_size_that_a_manifest_has_wrong_is_no_damage(own):
    layer = b"a layer"
    with own:
        with own.client() as c:
            push_blob(c, "some/app", layer)
            push_blob(c, "some/app", b"{}")
            wrong = {**descriptor(layer), "size": len(layer) + 1}
            push_manifest(c, "some/app", "1", image_manifest(descriptor(b"{}", OCI_CONFIG), [wrong]))
    report = berth_json("check", "--deep", "--data", own.data)["data"]
    assert (report["damaged"], report["missing"], report["problems"]) == (0, 0, [])
    value = berth_json("rebuild", "--force", "--data", own.data)
    assert (value["damaged"], value["missing"], value["blobs"]) == (0, 0, 3)
    assert own.blob_file(digest_of(layer)).exists()


def test_a_damaged_catalogue_is_told_with_the_command_that_mends_it(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1")
    lose_catalogue(own)
    (own.data / "catalog.db").write_bytes(b"not a database. " * 1000)
    done = berth("ls", "--data", own.data, code=FAULT)
    assert f'"berth rebuild --force --data {own.data}"' in done.stderr.splitlines()[-1]
    berth("rebuild", "--force", "--data", own.data)
    with own:
        with own.client() as c:
            assert c.get("/v2/some/app/manifests/1").body == image.body


def test_rebuild_shows_its_progress_on_a_terminal(own):
    with own:
        with own.client() as c:
            push_image(c, "some/app", "1")
    code, shown = on_terminal("rebuild", "--force", "--verify", "--data", own.data)
    assert code == DONE
    assert re.search(r"\[#+\.*\] +\d+%", shown)
    assert "every blob matches its digest" in shown
    assert "%" not in berth("rebuild", "--force", "--data", own.data).stderr


def test_sync_layout_writes_index_json_beside_a_server(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1")
            berth("sync-layout", "--data", own.data)
            assert tags_of_layout(own.data) == {"some/app:1": image.digest}


def test_a_stop_brings_index_json_up_to_date(own):
    with own:
        with own.client() as c:
            image = push_image(c, "some/app", "1")
    assert tags_of_layout(own.data) == {"some/app:1": image.digest}


def test_an_idle_server_brings_index_json_up_to_date(tmp_path):
    with Server(tmp_path, env={"BERTH_STORAGE_LAYOUT_IDLE": "4s"}) as s:
        with s.client() as c:
            image = push_image(c, "some/app", "1")
        assert "some/app:1" not in tags_of_layout(s.data)  # a push does not wait for it
        wait_for(lambda: tags_of_layout(s.data) == {"some/app:1": image.digest}, "index.json has the tag")


# serve. -------------------------------------------------------------------------------------------


def fields(line):
    """A logfmt line as a dict."""
    return {k: json.loads(v) if v.startswith('"') else v
            for k, v in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)}


def logged(server, msg):
    return [f for f in map(fields, server.log_text().splitlines()) if f.get("msg") == msg]


def test_serve_says_where_it_listens_in_one_line(tmp_path):
    with Server(tmp_path) as s:
        line, = logged(s, "listening")
        assert line["addr"] == s.address and line["data"] == str(s.data)
        assert line["version"] == berth_json("version")["version"]
        assert 0 <= int(line["start_ms"]) < 20000


def start_anyhow(server, *args, **env):
    """Start without the harness's own --listen; wait for the line."""
    server.folder.mkdir(parents=True, exist_ok=True)
    with open(server.log, "ab") as log:
        server.process = subprocess.Popen([BERTH, "serve", *map(str, args)], stdin=subprocess.DEVNULL,
                                          stderr=log, env=environment(**env), close_fds=True)
    wait_for(lambda: logged(server, "listening") or server.process.poll() is not None, "listening")
    assert server.process.poll() is None, server.log_text()
    return logged(server, "listening")[0]["addr"].split(",")


def test_serve_takes_its_addresses_from_the_settings_and_chooses_a_port_for_0(own, config):
    path = config(f"[storage]\ndata = {own.data}\n[server]\nlisten = 127.0.0.1:0, [::1]:0\n")
    v4, v6 = start_anyhow(own, "--config", path)
    assert v4.startswith("127.0.0.1:") and v6.startswith("[::1]:")
    for address in (v4, v6):
        host, port = address.rsplit(":", 1)
        assert port != "0"
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    own.stop()


def test_serve_tells_a_port_that_is_taken(own):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = berth("serve", "--data", own.data, "--listen", address, code=FAULT)
    assert f"cannot listen on {address}" in done.stderr


def test_serve_tells_a_data_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    done = berth("serve", "--data", tmp_path / "file" / "data", "--listen", "127.0.0.1:0", code=FAULT)
    assert str(tmp_path / "file") in done.stderr


def test_sighup_applies_what_can_change_and_names_what_waits(own, config):
    path = config("[log]\nlevel = info\n[limits]\nworkers = 8\n")
    own.args = ["--config", str(path)]
    with own:
        config("[log]\nlevel = debug\n[limits]\nworkers = 9\ndrain_timeout = 3s\n")
        own.process.send_signal(signal.SIGHUP)
        wait_for(lambda: logged(own, "settings reloaded"), "settings reloaded")
        changed = {f["setting"]: (f["old"], f["new"]) for f in logged(own, "setting changed")}
        assert changed == {"log.level": ("info", "debug"), "limits.drain_timeout": ("10s", "3s")}
        assert [(f["setting"], f["old"], f["new"]) for f in logged(own, "setting needs a restart")] == [
            ("limits.workers", "8", "9")]
        # Quiet from now on, and still there.
        config("[log]\nlevel = error\n[limits]\nworkers = 8\n")
        own.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(logged(own, "setting changed")) == 4, "the level is changed again")
        size = own.log_size()
        with own.client() as c:
            assert c.get("/v2/").status == 200
        time.sleep(0.2)
        assert own.log_size() == size


def test_sighup_with_a_mistake_keeps_the_old_settings(own, config):
    path = config("[log]\nlevel = info\n")
    own.args = ["--config", str(path)]
    with own:
        config("[log]\nlevel = off\n\nlevle = debug\n")
        own.process.send_signal(signal.SIGHUP)
        wait_for(lambda: logged(own, "settings not reloaded: the old ones stay"), "the mistake is logged")
        line, = logged(own, "settings not reloaded: the old ones stay")
        assert line["reason"] == f'{path}:4: [log] has no setting "levle"; is it "level"?'
        assert line["level"] == "error"
        size = own.log_size()
        with own.client() as c:
            assert c.get("/v2/").status == 200
        wait_for(lambda: own.log_size() > size, "requests are logged as before")


def slow_upload(server, repo, declared):
    """A request in the middle of its body: the socket, and where the upload is."""
    with server.client() as c:
        location = c.post(f"/v2/{repo}/blobs/uploads/").location
    s = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    path = re.sub(r"^https?://[^/]+", "", location)
    s.sendall(f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {declared}\r\n\r\n".encode() + b"first ")
    time.sleep(0.3)
    return s


def test_sigterm_lets_a_running_request_end(own):
    own.start()
    s = slow_upload(own, "some/app", 12)
    own.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert own.process.poll() is None
    with pytest.raises(OSError):  # no new connections
        socket.create_connection(("127.0.0.1", own.port), timeout=5).close()
    s.sendall(b"second")
    assert s.recv(4096).startswith(b"HTTP/1.1 202 ")
    s.close()
    assert own.process.wait(20) == 0
    own.process = None
    own.check_log()
    assert logged(own, "stopping") and logged(own, "stopped")


def test_sigterm_cuts_off_what_does_not_end_in_time(tmp_path):
    s = Server(tmp_path, env={"BERTH_LIMITS_DRAIN_TIMEOUT": "500ms"}).start()
    upload = slow_upload(s, "some/app", 12)
    start = time.monotonic()
    s.stop()
    assert 0.3 < time.monotonic() - start < 15
    upload.close()


def test_a_second_sigint_ends_at_once(tmp_path):
    s = Server(tmp_path, env={"BERTH_LIMITS_DRAIN_TIMEOUT": "1h"}).start()
    upload = slow_upload(s, "some/app", 12)
    s.process.send_signal(signal.SIGINT)
    wait_for(lambda: logged(s, "stopping"), "stopping")
    time.sleep(0.2)
    assert s.process.poll() is None
    s.process.send_signal(signal.SIGINT)
    assert s.process.wait(10) == -signal.SIGINT
    s.process = None
    upload.close()


# The service manager. -----------------------------------------------------------------------------


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.heard = []
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            try:
                message = self.socket.recv(4096)
            except OSError:
                return
            lines = message.decode().splitlines()
            self.heard.append((time.monotonic(), dict(line.split("=", 1) for line in lines)))

    def all(self, key):
        return [m for _, m in list(self.heard) if key in m]


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_the_service_manager_is_told(tmp_path, config, kind):
    address = str(tmp_path / "notify") if kind == "file" else f"@berth-test-{os.getpid()}-{free_port()}"
    manager = Manager(address)
    path = config("[log]\nlevel = info\n")
    s = Server(tmp_path / "s", args=["--config", str(path)], env={"NOTIFY_SOCKET": address}).start()
    wait_for(lambda: manager.all("READY"), "READY=1")
    assert manager.all("READY")[0] == {"READY": "1", "STATUS": f"Listening on {s.address}"}
    before = time.monotonic()
    s.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(manager.all("READY")) == 2, "READY=1 after a reload")
    reload, = manager.all("RELOADING")
    assert reload["RELOADING"] == "1"
    assert before - 1 <= int(reload["MONOTONIC_USEC"]) / 1e6 <= time.monotonic()
    assert not manager.all("STOPPING") and not manager.all("WATCHDOG")
    s.stop()
    wait_for(lambda: manager.all("STOPPING"), "STOPPING=1")
    order = [k for _, m in manager.heard for k in ("READY", "RELOADING", "STOPPING") if k in m]
    assert order == ["READY", "RELOADING", "READY", "STOPPING"]
    manager.socket.close()


def test_the_watchdog_is_pinged_in_time(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with Server(tmp_path / "s", env=env):
        time.sleep(2.5)
        pings = [at for at, m in list(manager.heard) if "WATCHDOG" in m]
    assert 3 <= len(pings) <= 8
    assert max(b - a for a, b in zip(pings, pings[1:])) < 1.0
    manager.socket.close()


def test_a_watchdog_meant_for_another_process_is_not_pinged(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
    with Server(tmp_path / "s", env=env):
        wait_for(lambda: manager.all("READY"), "READY=1")
        time.sleep(1)
        assert not manager.all("WATCHDOG")
    manager.socket.close()


def test_a_service_manager_that_is_not_there_does_no_harm(tmp_path):
    env = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "100000"}
    with Server(tmp_path / "s", env=env) as s:
        with s.client() as c:
            assert c.get("/v2/").status == 200
