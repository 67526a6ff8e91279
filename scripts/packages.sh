# shellcheck shell=bash
# How the scripts get what they need from Debian and PyPI. Sourced by the scripts that need it.

# need_packages PACKAGE...: installs Debian packages where it may, and fails with advice where it may not.
need_packages() {
    if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
        echo "missing on this machine; as root: apt-get install $*"
        return 1
    fi
    echo "installing Debian packages: $*"
    # A machine that never updated its lists knows no package: then update, and try once more.
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@")
    "${install[@]}" > /dev/null || { apt-get update -qq && "${install[@]}" > /dev/null; }
}

# Whether a Python that can make a virtual environment, and is new enough for the packages, is on PATH.
python_usable() {
    python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null
}

# make_venv FOLDER REQUIREMENTS: makes the virtual environment, unless the one that exists has these very requirements.
make_venv() {
    local venv=$1 requirements=$2
    if cmp -s "$requirements" "$venv/requirements.txt" && "$venv/bin/python" -c '' 2> /dev/null; then
        return
    fi
    python_usable || need_packages python3 python3-venv || return 1
    python_usable || {
        echo "Python 3.11 or later is needed, with the modules venv and ensurepip"
        return 1
    }
    echo "installing Python packages into ${venv#"$PWD"/}: $(grep -o '^[a-z-]*==[0-9.]*' "$requirements" | head -5 | paste -sd ' ')"
    rm -rf "$venv"
    python3 -m venv "$venv" || return 1
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        -r "$requirements" || return 1
    cp "$requirements" "$venv/requirements.txt"
}

# need_node: puts Node and npm on this machine.
need_node() {
    { command -v node && command -v npm; } > /dev/null || need_packages nodejs npm
}
