# Checks the tools that a machine needs. Sourced by the scripts of this folder.

# Prints each missing tool with the command that installs it, and exits with 2 if a tool is missing.
# Then installs libtorch if necessary: the engine needs it.
require_tools() {
    local missing=0
    need 'cargo' 'cargo --version' \
        "apt-get install rustup && rustup toolchain install 1.95.0 --component rustfmt,clippy"
    need 'a C++ compiler' 'c++ --version || g++ --version || clang++ --version' 'apt-get install build-essential'
    need 'git' 'git --version' 'apt-get install git'
    need 'python3' 'python3 --version' 'apt-get install python3'
    need 'pip for python3' 'python3 -m pip --version' 'apt-get install python3-pip'
    [ "$missing" -eq 0 ] || exit 2
    LIBTORCH="${LIBTORCH:-$(deploy/torch/setup)}"
    export LIBTORCH
}

# need NAME TEST INSTALL: reports that NAME is missing unless TEST succeeds.
need() {
    if ! sh -c "$2" >/dev/null 2>&1; then
        printf 'missing: %s\n    install it: %s\n' "$1" "$3" >&2
        missing=1
    fi
}
