#!/bin/sh
# Makes configure and Makefile.in from a fresh clone.
set -eu
cd "$(dirname "$0")"

missing=
need() { # COMMAND DEBIAN-PACKAGE
	command -v "$1" >/dev/null || missing="$missing $2"
}
need autoreconf autoconf
need automake automake
need libtoolize libtool
need pkg-config pkg-config
if [ -n "$missing" ]; then
	echo "autogen.sh: missing Debian packages:$missing" >&2
	echo "autogen.sh: install them with: apt-get install$missing" >&2
	exit 1
fi
mkdir -p m4 build-aux
exec autoreconf --install --warnings=all
