#!/bin/sh
# Sets up .venv: `base` is what the demo needs, `dev` adds the extras and the tools of `make test`.
set -eu
want=$1

say() { printf 'setup: %s\n' "$1" >&2; }

# Debian packages: only where something is missing, and only as root.
need_debian() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "missing: $*. As root: apt-get install $*  -- then run make again."
        exit 1
    fi
    say "installing $*"
    keep_services_quiet
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Tests start what they need: a package that is installed for them must not start its service.
keep_services_quiet() {
    [ -e /usr/sbin/policy-rc.d ] && return
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

# What tests start or ask: without it they are skipped, on CI they fail.
want_debian() {
    command -v java >/dev/null || set -- "$@" default-jre-headless
    command -v mvn >/dev/null || set -- "$@" maven
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null ||
        set -- "$@" postgresql
    command -v promtool >/dev/null || set -- "$@" prometheus
    command -v amtool >/dev/null || set -- "$@" prometheus-alertmanager
    command -v systemd-analyze >/dev/null || set -- "$@" systemd
    [ $# = 0 ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        need_debian "$@"
    else
        say "missing: $*. Tests that start or ask them are skipped until they are there."
        say "As root: apt-get install $*"
        [ "${CI:-}" != true ] || exit 1
    fi
}

find_python() {
    for name in python3.13 python3.12 python3.11 python3; do
        path=$(command -v "$name") || continue
        if "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            printf '%s' "$path"
            return
        fi
    done
}

python=$(find_python)
if [ -z "$python" ]; then
    need_debian python3 python3-venv
    python=$(find_python)
    [ -n "$python" ] || { say "Python 3.11, 3.12 or 3.13 is needed and was not found."; exit 1; }
fi

if command -v uv >/dev/null; then
    uv=uv
else
    uv=.tools/bin/uv
    if [ ! -x "$uv" ]; then
        say "fetching uv"
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            need_debian python3-venv
        fi
        "$python" -m venv .tools
        .tools/bin/pip install --quiet --disable-pip-version-check "uv==0.13.9"
    fi
fi

[ -x .venv/bin/python ] || "$uv" venv --quiet --python "$python" .venv
if [ "$want" = dev ]; then
    say "installing slopewatch with the extras torch and airflow, and the tools (about 3 GB)"
    "$uv" pip install --quiet --constraints constraints.txt --group dev --editable '.[torch,airflow,apprise]'
    want_debian
    if command -v java >/dev/null && command -v mvn >/dev/null; then
        say "fetching Kafka, once"
        .venv/bin/python -m tools.engine.kafka fetch
    fi
    say "building Helm, once"
    .venv/bin/python -m tools.helm fetch ||
        say "Helm could not be built: tests of the chart are skipped until it can."
else
    say "installing slopewatch"
    "$uv" pip install --quiet --constraints constraints.txt --editable .
fi
