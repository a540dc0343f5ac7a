# Sourced by the scripts, and by whoever runs cargo by hand: where things are built.

# Outside the checkout, so that a fresh clone finds what an earlier one built.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/muster/target}"
