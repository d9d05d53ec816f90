"""The rooms of src/: a room includes rooms on lower floors only, and each outside library hides in
its one place. Read off the #include lines, followed through our own headers."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up; rooms on one floor do not see each other.
FLOORS = [
    ["base"],
    ["oci", "http"],
    ["store", "catalog"],
    ["registry", "auth"],
    ["api", "ui", "mirror"],
    ["cli"],
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}

# Outside library: what its headers look like, and the files that may include them.
LIBRARIES = {
    "yyjson": (r"yyjson\.h", r"base/json\.c"),
    "mbedtls": (r"(mbedtls|psa)/.*", r"oci/digest\.c"),
    "civetweb": (r"civetweb.*", r"http/[^/]*\.[ch]"),
    "sqlite": (r"sqlite3(ext)?\.h", r"catalog/[^/]*\.[ch]"),
    "inih": (r"ini\.h", r"cli/settings\.c"),
}
GENERATED = {"berth_version.h": r"cli/[^/]*\.c"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)


def includes(path):
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    return [a or b for a, b in INCLUDE.findall(text)]


def library_of(header):
    for name, (pattern, _) in LIBRARIES.items():
        if re.fullmatch(pattern, header):
            return name
    return None


def faults_of_file(src, path):
    name = path.relative_to(src).as_posix()
    room = name.split("/")[0]
    if room not in FLOOR or name.count("/") != 1:
        yield f"{name}: not in a room"
        return
    for header in includes(path):
        target = header.split("/")[0]
        library = library_of(header)
        if library:
            if not re.fullmatch(LIBRARIES[library][1], name):
                yield f"{name}: includes {header}, which belongs to {LIBRARIES[library][1]}"
        elif header in GENERATED:
            if not re.fullmatch(GENERATED[header], name):
                yield f"{name}: includes {header}, which belongs to {GENERATED[header]}"
        elif re.search(r"\.\.|boards/|firmware/|tests/", header):
            yield f"{name}: includes {header}, which is outside src/"
        elif target in FLOOR and "/" in header:
            if not (src / header).is_file():
                yield f"{name}: includes {header}, which is not there"
            elif target != room and FLOOR[target] >= FLOOR[room]:
                yield f"{name}: includes {header}, a room beside or above it"
        elif (path.parent / header).is_file():
            yield f'{name}: includes {header} without its room: write "{room}/{header}"'


def leaked_libraries(src, path, seen=None):
    """Outside libraries whose headers arrive with this file, directly or through others."""
    seen = set() if seen is None else seen
    if path in seen or not path.is_file():
        return set()
    seen.add(path)
    found = set()
    for header in includes(path):
        library = library_of(header)
        if library:
            found.add(library)
        else:
            found |= leaked_libraries(src, src / header, seen)
    return found


def faults(src):
    found = []
    files = sorted(p for p in src.rglob("*") if p.suffix in (".c", ".h", ".inl"))
    for path in files:
        found += faults_of_file(src, path)
        name = path.relative_to(src).as_posix()
        for library in sorted(leaked_libraries(src, path)):
            if not re.fullmatch(LIBRARIES[library][1], name) and not any(
                f.startswith(f"{name}: ") for f in found
            ):
                found.append(f"{name}: gets {library} through a header")
    return found


def test_every_include_points_down_and_every_library_stays_in_its_place():
    assert list((ROOT / "src").glob("*/*.c")), "no source found"
    assert faults(ROOT / "src") == []


def test_the_build_has_the_same_floors():
    text = (ROOT / "CMakeLists.txt").read_text()
    floors = [[]]
    for name, end in re.findall(r"^(?:room\((\w+).*\)|(next_floor)\(\))$", text, re.M):
        if end:
            floors.append([])
        else:
            floors[-1].append(name)
    assert floors == FLOORS


@pytest.mark.parametrize(
    "name, line, fault",
    [
        ("base/a.c", '#include "oci/name.h"', "beside or above"),
        ("oci/a.c", '#include "http/http.h"', "beside or above"),
        ("oci/a.c", '#  include "api/api.h"', "beside or above"),
        ("api/a.c", "#include <sqlite3.h>", "belongs to"),
        ("store/a.h", '#include "mbedtls/sha256.h"', "belongs to"),
        ("api/a.c", '#include "catalog/raw.h"', "through a header"),
        ("api/a.c", '#include "base/gone.h"', "not there"),
        ("oci/a.c", '#include "name.h"', "without its room"),
        ("oci/a.c", '#include "../../boards/limits.h"', "outside src/"),
        ("a.c", "", "not in a room"),
        ("attic/a.c", "", "not in a room"),
        ("cli/deep/a.c", "", "not in a room"),
        ("api/a.c", '#include "base/err.h"\n#include "registry/registry.h"\n#include <stdio.h>', None),
        ("cli/a.c", '/* #include <sqlite3.h> */\n#include "berth_version.h"', None),
    ],
)
def test_the_check_finds_what_it_is_for(tmp_path, name, line, fault):
    def write(path, text):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for header in ("base/err", "oci/name", "http/http", "registry/registry", "api/api"):
        write(f"{header}.h", "")
    write("catalog/raw.h", "#include <sqlite3.h>\n")
    write(name, line + "\n")
    found = faults(tmp_path)
    if fault:
        assert [f for f in found if f.startswith(f"{name}: ") and fault in f], found
    else:
        assert found == []
