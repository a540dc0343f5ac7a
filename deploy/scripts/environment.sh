# Sets the build folder. Sourced by the scripts, and by people who run cargo by hand.

# The folder is outside the checkout, so that a fresh clone reuses earlier builds.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/muster/target}"
