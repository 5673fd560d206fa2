# Shared ground of the TLS tests; sourced first by each of them.  Two hosts (scenario/net.sh), an authority
# and certificates of our own, rules for both sides, and somebody who listens on the wire.

. "$(dirname "${BASH_SOURCE[0]}")/../scenario/net.sh"
. "$scenario/servers.sh"

here=$top/tests/tls
export MARKER=Quecksilber-7319
HELLO="the right bytes $MARKER"

# --- certificates ---------------------------------------------------------------------------------------

# quietly CMD…: a command that must succeed and has nothing to say.
quietly() {
	"$@" >"$work/quiet.log" 2>&1 || { cat "$work/quiet.log"; echo "failed: $*"; exit 1; }
}

# authority NAME: $work/NAME.pem and .key.
authority() {
	quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:true -addext keyUsage=keyCertSign,cRLSign \
		-keyout "$work/$1.key" -out "$work/$1.pem"
}

# certificate NAME AUTHORITY SAN…: $work/NAME.pem and .key for the names ("DNS:…", "IP:…").
certificate() {
	local name=$1 ca=$2
	shift 2
	quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/O=test" \
		-keyout "$work/$name.key" -out "$work/$name.csr"
	quietly openssl x509 -req -in "$work/$name.csr" -CA "$work/$ca.pem" -CAkey "$work/$ca.key" -CAcreateserial \
		-days 20 -out "$work/$name.pem" -extfile <(printf 'subjectAltName=%s\n' "$(IFS=,; echo "$*")")
}

# rule MATCH SECURITY [REMOTE]: one rule of a configuration.
rule() {
	printf '{ match = { %s }; remote = { %s }; security = { %s }; },\n' "$1" "${3:-}" "$2"
}

# rules_file FILE RULES: they become a configuration; its last rule ends with a comma.
rules_file() {
	printf 'rules = (\n%s\n);\n' "${2%,*}" >"$1"
}

# --- the wire -------------------------------------------------------------------------------------------

capture_up() {
	compile capture "$here/capture.c"
	start capture "$work/capture" s0 "$MARKER"
	wait_for 5 test -s "$work/capture.log" || { echo "cannot read the wire"; exit 1; }
	captured >/dev/null
}

more_lines() { # FILE N
	[ "$(wc -l <"$1")" -gt "$2" ]
}

# captured: what passed since the last time, as "N packets, N clear, N lost".
captured() {
	local lines
	lines=$(wc -l <"$work/capture.log")
	kill -USR1 "$(cat "$work/capture.pid")"
	wait_for 20 more_lines "$work/capture.log" "$lines" || echo "the capture is gone"
	tail -n 1 "$work/capture.log"
}

# unread NAME, read_by_all NAME: what passed since the last time held no marker; held one.
unread() {
	local seen
	seen=$(captured)
	case $seen in
	"0 packets"*) not_ok "$1: nothing in clear" "no packet at all" ;;
	*" 0 clear, 0 lost") ok "$1: nothing in clear" ;;
	*) not_ok "$1: nothing in clear" "$seen" ;;
	esac
}

read_by_all() {
	local seen
	seen=$(captured)
	case $seen in
	*" 0 clear, "*) not_ok "$1: seen on the wire" "$seen" ;;
	*) ok "$1: seen on the wire" ;;
	esac
}

tls_up() {
	need openssl
	net_up
	capture_up
	authority ca
	certificate server ca DNS:healthy.test DNS:v6dead.test IP:192.0.2.11 IP:2001:db8::11
	cat "$work/server.pem" "$work/server.key" >"$work/both.pem"
	chmod 644 "$work"/*.key "$work"/*.pem
}

# has NAME FILE TEXT…: an event of the trace has all of these.
has() {
	local name=$1 events
	events=$(cat "$2")
	shift 2
	for text; do
		events=$(grep -F -- "$text" <<<"$events")
	done
	if [ -n "$events" ]; then ok "$name"; else not_ok "$name" "no event with $*"; fi
}
