# lib.sh - what the tools share. Read with ".", from a script that has set `root` to the top of the
# source tree.
# shellcheck shell=sh disable=SC2154

cache=${BERTH_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/berth}
deps=$root/tools/deps

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

sha256() { sha256sum "$1" | cut -d' ' -f1; }

# Rows of a list file: comments and empty lines out.
rows() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

# Hold the cache's lock in file descriptor 9 until the script ends: two builds, one fetch.
lock_cache() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    flock -n 9 || { say "waiting for another build that holds $cache/$1.lock"; flock 9; }
}

# Debian packages of the given list that are not installed.
packages_missing() {
    command -v dpkg-query >/dev/null 2>&1 || return 0
    for package in $(rows "$deps/packages" | awk -v want="$1" '$1 == want { $1 = ""; print }'); do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *" installed") ;;
        *) printf ' %s' "$package" ;;
        esac
    done
}

# Install what the given lists of tools/deps/packages name and this machine lacks.
packages_install() {
    missing=
    for list in "$@"; do
        missing="$missing$(packages_missing "$list")"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        die "these packages are missing; as root: apt-get install --no-install-recommends$missing"
    fi
    say "installing$missing"
    apt_log=$(mktemp)
    # A machine that has only just been made has no package lists, an old one has stale ones.
    # shellcheck disable=SC2086
    if ! { apt-get -o DPkg::Lock::Timeout=300 update &&
           DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -y \
               --no-install-recommends install $missing; } >"$apt_log" 2>&1; then
        cat "$apt_log" >&2
        rm -f "$apt_log"
        die "apt-get could not install$missing"
    fi
    rm -f "$apt_log"
}
