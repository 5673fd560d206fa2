# Shared by the shell tests: `. "$(dirname "$0")/../lib.sh"` after `set -u`.
#
# A test is an executable that tests/run finds by name (see tests/README).  Its exit status is the
# verdict: 0 passed, 77 skipped (the last line of output is the reason), anything else failed.  A
# test may hold many cases: each line `ok NAME` or `not ok NAME` on standard output is then counted
# as one test, and `ok NAME # SKIP reason` as one skipped.
#
# Variables set here:
#   top       the source tree         build    the build tree ($TAPS_BUILD, or $top/build)
#   tapsrun   the launcher            tapsctl  the control tool
#   work      a private folder, removed at the end

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${TAPS_BUILD:-$top/build}
tapsrun=$build/tapsrun
tapsctl=$build/tapsctl

# A program that was not built with AddressSanitizer needs its runtime loaded before a shim that was.
# Set by tests/run for a sanitizer build; `preloading CMD…` runs a command with it in front.
: "${TAPS_ASAN_RUNTIME:=}"

work=$(mktemp -d "${TMPDIR:-/tmp}/taps-test.XXXXXX") || exit 1
_failed=0
_pids=()

# Runs a command as a test should run tapsrun: with the sanitizer's runtime first, if there is one.
preloading() {
	if [ -n "$TAPS_ASAN_RUNTIME" ]; then
		LD_PRELOAD="$TAPS_ASAN_RUNTIME${LD_PRELOAD:+:$LD_PRELOAD}" "$@"
	else
		"$@"
	fi
}

ok() {
	printf 'ok %s\n' "$*"
}

# not_ok NAME [REASON]
not_ok() {
	_failed=$((_failed + 1))
	printf 'not ok %s%s\n' "$1" "${2:+ # $2}"
}

# skip_case NAME REASON: one case of this test cannot run here.
skip_case() {
	printf 'ok %s # SKIP %s\n' "$1" "$2"
}

# check NAME CMD…: a case that passes when the command succeeds; its output is shown when it fails.
check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1 </dev/null); then
		ok "$name"
	else
		not_ok "$name" "status $?"
		printf '%s\n' "$out" | tail -n 40 | sed 's/^/    /'
	fi
}

# skip REASON: the whole test cannot run here.
skip() {
	printf '%s\n' "$*"
	exit 77
}

# need CMD…: skips the test unless every command is installed.
need() {
	local cmd
	for cmd; do
		command -v "$cmd" >/dev/null || skip "$cmd is not installed"
	done
}

# finish: the end of every test with cases.
finish() {
	[ "$_failed" -eq 0 ]
	exit
}

# spawn CMD…: starts a server in the background; it is ended with the test.  Its pid is in $spawned.
spawn() {
	"$@" </dev/null >>"$work/spawned.log" 2>&1 &
	spawned=$!
	_pids+=("$spawned")
}

# wait_for SECONDS CMD…: repeats a quiet command every 50 ms until it succeeds.
wait_for() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now_ms)" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# Milliseconds of the wall clock.
now_ms() {
	local t=$EPOCHREALTIME
	echo $((${t%[.,]*} * 1000 + 10#${t#*[.,]} / 1000))
}

# isolate "$@": runs the calling test again inside its own network, mount and process namespaces, with
# loopback up and a private /run/netns, so that whatever it makes ends with it.  Needs root.
isolate() {
	[ -z "${TAPS_ISOLATED:-}" ] || return 0
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	rm -rf "$work"
	exec "$top/tests/isolated" "$0" "$@"
}

_cleanup() {
	local status=$? pid
	for pid in "${_pids[@]}"; do
		kill "$pid" 2>/dev/null
	done
	for pid in "${_pids[@]}"; do
		wait "$pid" 2>/dev/null
	done
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && [ -s "$work/spawned.log" ]; then
		echo "--- output of the servers:"
		tail -n 40 "$work/spawned.log"
	fi
	rm -rf "$work"
}
trap _cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
