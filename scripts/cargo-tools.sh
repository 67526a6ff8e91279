# shellcheck shell=bash
# The cargo subcommands that the checks and the tests run: their versions, and how to get them.
# Sourced by scripts/test and .ci/run.
#
# A tool that is on PATH is used as it is. One that is missing is built once into the user's cache folder,
# so that a clean clone finds it again and nothing on PATH is replaced. It is built without optimiser and
# debug information, because the build is what costs here: the tools themselves take seconds.

declare -rA cargo_tool_versions=(
    [cargo-deny]=0.20.2
    [cargo-machete]=0.9.2
    [cargo-nextest]=0.9.151
)

command -v cargo > /dev/null || PATH="$HOME/.cargo/bin:$PATH"

# need_cargo_tool NAME: puts NAME on PATH.
need_cargo_tool() {
    local name=$1
    local version=${cargo_tool_versions[$name]}
    local folder="${XDG_CACHE_HOME:-$HOME/.cache}/spillway/$name-$version"
    command -v "$name" > /dev/null && return
    if [[ ! -x $folder/bin/$name ]]; then
        echo "$name is missing: building version $version into $folder (once, some minutes)"
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --no-track \
            --root "$folder" --target-dir "$folder/build" --version "$version" "$name"
        rm -rf "$folder/build"
    fi
    PATH="$folder/bin:$PATH"
}
