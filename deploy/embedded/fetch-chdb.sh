#!/bin/sh
# Fetches the pinned ClickHouse library with npm, verifies it and installs it
# where the Go side looks for it. Does nothing when it is already there.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
	echo "fetch-chdb: $*" >&2
	exit 1
}

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) fail "no ClickHouse library for $(uname -s); use --clickhouse URL" ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) fail "no ClickHouse library for $(uname -m); use --clickhouse URL" ;;
esac
platform=$os-$arch
if [ "$os" = linux ]; then
	libc=gnu
	if ldd --version 2>&1 | grep -qi musl; then libc=musl; fi
	platform=$platform-$libc
fi

line=$(grep "^$platform " "$here/chdb.lock") ||
	fail "no pinned ClickHouse library for $platform; set CHDB_LIB_PATH to a libchdb.so or use --clickhouse URL"
# shellcheck disable=SC2086 # the line is split into its five fields on purpose
set -- $line
package=$2 version=$3 sha512=$4 sha256=$5

# digest BITS FILE prints the file's SHA-2 in hex.
digest() {
	if command -v "sha$1sum" >/dev/null 2>&1; then
		"sha$1sum" "$2" | cut -d' ' -f1
	else
		shasum -a "$1" "$2" | cut -d' ' -f1
	fi
}

dir=${XDG_CACHE_HOME:-$HOME/.cache}/droplift/chdb/$version
library=$dir/libchdb.so
# The record beside the library holds the checksum verified when it was
# installed; hashing half a gigabyte on every run would be felt.
record=$dir/libchdb.so.sha256
if [ -f "$library" ] && [ ! "$library" -nt "$record" ] && [ "$(cat "$record" 2>/dev/null)" = "$sha256" ]; then
	exit 0
fi
mkdir -p "$dir"
if [ -f "$library" ] && [ "$(digest 256 "$library")" = "$sha256" ]; then
	echo "$sha256" >"$record"
	exit 0
fi

command -v npm >/dev/null 2>&1 || fail "npm is needed to fetch $package; install it, set CHDB_LIB_PATH, or use --clickhouse URL"
work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "fetch-chdb: downloading $package@$version (about 170 MB, once) ..."
tarball=$(cd "$work" && npm pack --silent "$package@$version") || fail "npm could not fetch $package@$version"
echo "fetch-chdb: verifying and unpacking ..."
got=$(digest 512 "$work/$tarball")
[ "$got" = "$sha512" ] || fail "checksum of $package@$version is $got, pinned is $sha512"
tar -xzf "$work/$tarball" -C "$work" package/libchdb.so
got=$(digest 256 "$work/package/libchdb.so")
[ "$got" = "$sha256" ] || fail "checksum of libchdb.so is $got, pinned is $sha256"
mv -f "$work/package/libchdb.so" "$library"
# The record must not be older than the library, whose own time is the package's.
touch "$library"
echo "$sha256" >"$record"
echo "fetch-chdb: installed $library"
