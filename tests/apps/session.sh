# A working session of a real application: sourced first by the tests beside it.
#
# `session HOST [WRAPPER…]` is defined by the test; it starts the servers and clients, all of them under the
# wrapper, and prints what happened, without anything that differs from run to run.

. "$(dirname "${BASH_SOURCE[0]}")/../scenario/net.sh"
. "$scenario/servers.sh"

# sessions NAME PATTERN: the session bare (its transcript must match the pattern), the same under tapsrun, and
# under tapsrun where the first address of the servers' name is dead.
sessions() {
	local name=$1 pattern=$2 bare
	bare=$(session healthy.test 2>&1)
	if [[ $bare == $pattern ]]; then
		ok "$name: bare"
	else
		not_ok "$name: bare" "it does not work"
		echo "$bare" | tail -n 20 | sed 's/^/    /'
	fi
	same "$name: under tapsrun" "$bare" "$(session healthy.test "$tapsrun" 2>&1)"
	same "$name: under tapsrun, IPv6 dead" "$bare" "$(session v6dead.test "$tapsrun" 2>&1)"
}

# step NAME COMMAND…: a part of a session that must end within 30 s.  A function as well.
step() {
	local name=$1 status pid
	shift
	echo "-- $name"
	timeout -k 1 30 "$@" 2>&1
	status=$?
	echo "status $status"
}

# sum: a short name for the bytes on standard input.
sum() {
	sha256sum | cut -c 1-16
}

# quit NAME [SIGNAL]: stop, and its exit status.
quit() {
	kill "-${2:-TERM}" "$(cat "$work/$1.pid")"
	wait "$(cat "$work/$1.pid")"
	echo "$1 ended: $?"
}
