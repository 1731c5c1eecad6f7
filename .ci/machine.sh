# shellcheck shell=bash
# What .ci/run and tests/run share: having what they need on a Debian machine. Sourced, not run.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
left_out=()

# Whether the command $1 is there, once Debian's packages $2… have been installed if it wasn't.
have() {
    local command=$1
    shift
    command -v "$command" >/dev/null || { apt_install "$@" && command -v "$command" >/dev/null; }
}

# Ends with a message where `have` would only say no.
need() {
    have "$@" || fail "$1 isn't there, and can't be installed: install Debian's ${*:2}"
}

need_rust() {
    command -v cargo >/dev/null || fail "cargo isn't there: install Rust, see https://rustup.rs"
    need cc gcc libc6-dev # aws-lc-sys is C
}

# Package lists may be missing or older than the mirror: they are fetched when an install fails.
apt_install() {
    if apt_get install -y --no-install-recommends "$@" || { apt_get update && apt_get install -y --no-install-recommends "$@"; }; then
        echo "   installed Debian's $*"
    else
        echo "   not installed: Debian's $* ($(tail -n 1 "$work/apt"))"
        return 1
    fi
}

# RUNLEVEL=1 keeps the servers among the packages from starting by themselves.
apt_get() {
    local settings=(DEBIAN_FRONTEND=noninteractive RUNLEVEL=1) as_root=()
    ((EUID == 0)) || as_root=(sudo -n)
    "${as_root[@]}" env "${settings[@]}" apt-get -o DPkg::Lock::Timeout=120 "$@" >"$work/apt" 2>&1
}

# Runs a command. What it says is shown only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2 && return 1; }
}

leave_out() {
    left_out+=("$1")
    echo "-- LEFT OUT: $1"
}

fail() {
    echo "$0: $1" >&2
    exit 1
}
