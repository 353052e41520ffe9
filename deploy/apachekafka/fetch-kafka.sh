#!/bin/sh
# Fetches the Apache Kafka that pom.xml pins, with Maven, to where the Go side
# looks for it. Does nothing when it is already there, and only says so without Maven:
# tests that need it are then skipped, unless DROPLIFT_REQUIRE names kafka.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=$(sed -n 's|^  <version>\(.*\)</version>$|\1|p' "$here/pom.xml")
dir=${XDG_CACHE_HOME:-$HOME/.cache}/droplift/kafka/$version
[ -d "$dir" ] && exit 0
if ! command -v mvn >/dev/null 2>&1; then
	echo "fetch-kafka: Maven is absent: tests on Apache Kafka are skipped"
	exit 0
fi
mkdir -p "${dir%/*}"
work=$(mktemp -d "${dir%/*}/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo "fetch-kafka: downloading Apache Kafka $version (about 45 MB, once) ..."
# -C: a jar whose checksum is wrong fails the build.
mvn --quiet --batch-mode -C -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	-DincludeScope=runtime -DoutputDirectory="$work" >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; echo "fetch-kafka: Maven could not fetch Apache Kafka $version" >&2; exit 1; }
rm "$work/log"
chmod 755 "$work"
mv "$work" "$dir" 2>/dev/null || [ -d "$dir" ]
echo "fetch-kafka: installed $dir"
