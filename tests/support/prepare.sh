# What check and demo have in common: packages, builds, a staged installation. Sourced from the top
# of the tree.

# Whoever unpacked the tree, root may ask git about it.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$PWD

say() { printf '== %s\n' "$*"; }

build_packages="build-essential cmake ninja-build pkg-config ccache
  libfmt-dev libexpected-dev libcli11-dev nlohmann-json3-dev liburing-dev libqb-dev
  libssl-dev libblkid-dev libcmocka-dev librapidcheck-dev xz-utils
  libcpg-dev libquorum-dev libcmap-dev"
run_packages="python3 iproute2 util-linux mount e2fsprogs procps kmod"
test_packages="clang clang-format clang-tidy libclang-rt-14-dev drbd-utils nbdkit libnbd-bin
  qemu-utils qemu-system-common fio qemu-system-x86 busybox-static cpio xfsprogs man-db
  groff-base mmdebstrap git file corosync"

# prepare_packages GROUP...: installs what is missing of build, run, test.
prepare_packages() {
    local group package missing=()
    for group in "$@"; do
        local list=${group}_packages
        for package in ${!list}; do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
                missing+=("$package")
        done
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "these packages are missing, and only root can install them: ${missing[*]}" >&2
        return 1
    fi
    say "installing ${missing[*]}"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# prepare_build PRESET [TARGET...]
prepare_build() {
    local preset=$1
    shift
    say "building ($preset)"
    mkdir -p build
    cmake --preset "$preset" >"build/$preset.log" 2>&1 ||
        { cat "build/$preset.log"; rm -f "build/$preset.log"; return 1; }
    rm -f "build/$preset.log"
    cmake --build "build/$preset" --target "${@:-all}" -- --quiet
}

# prepare_stage PRESET: installs into build/PRESET/stage, laid out as on a real system.
prepare_stage() {
    rm -rf "build/$1/stage"
    DESTDIR="$PWD/build/$1/stage" cmake --install "build/$1" --prefix /usr >/dev/null
}
