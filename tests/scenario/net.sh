# Shared ground of the scenario and application tests; sourced first by each of them.
#
# The sourcing script is started again inside mount, network and process namespaces of its own: whatever it
# mounts, configures or starts goes away with it, however it ends.  The script's own network namespace is the
# client; `net_up` makes a second one, the server, and joins the two by a veth pair:
#
#	client  192.0.2.200    2001:db8::200
#	server  192.0.2.2      2001:db8::2       DNS (dnsmasq)
#	        192.0.2.11-16  2001:db8::11-16   servers, healthy
#	        192.0.2.66-69  2001:db8::66-69   silently dropped
#	        192.0.2.77-78  2001:db8::77-78   refused
#
# tests/README says how tests report; this adds to tests/lib.sh.

PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
scenario=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$scenario/../lib.sh"
isolate "$@"
tapsrun=${TAPSRUN:-$tapsrun}
tapsctl=${TAPSCTL:-$tapsctl}
chmod 755 "$work"
mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/netns /run/lock /run/sshd || exit 1
exec </dev/null

# A Python that is a program, not a script that looks for one.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3)

# same NAME WANT GOT
same() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	elif [[ $2$3 == *$'\n'* ]]; then
		not_ok "$1" "these lines differ:"
		diff <(echo "$2") <(echo "$3") | head -n 20 | sed 's/^/    /'
	else
		not_ok "$1" "want [${2:0:300}] got [${3:0:300}]"
	fi
}

# at_most NAME LIMIT NUMBER, at_least NAME LIMIT NUMBER: whole numbers.
at_most() {
	if [ -n "$3" ] && [ "$3" -le "$2" ]; then ok "$1"; else not_ok "$1" "at most $2 wanted, got ${3:-nothing}"; fi
}

at_least() {
	if [ -n "$3" ] && [ "$3" -ge "$2" ]; then ok "$1"; else not_ok "$1" "at least $2 wanted, got ${3:-nothing}"; fi
}

# --- the two hosts --------------------------------------------------------------------------------------

# server COMMAND…: runs it on the server host.
server() {
	nsenter --net=/run/netns/server -- "$@"
}

# start NAME COMMAND…: in the background on the server host, output in $work/NAME.log, pid in $work/NAME.pid.
start() {
	local name=$1
	shift
	nsenter --net=/run/netns/server -- "$@" >"$work/$name.log" 2>&1 &
	echo $! >"$work/$name.pid"
	_pids+=($!)
}

# stop NAME: ends what start began, and waits for it.
stop() {
	local pid
	pid=$(cat "$work/$1.pid") || return
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

# A listener on the port of the server host (first argument) or of the client host (client PORT)?
listening() {
	local port=$1 where=server
	[ "$1" = client ] && { where=; port=$2; }
	$where ss -Hltn "sport = :$port" | grep -q .
}

wait_port() {
	wait_for 20 listening "$@" || { echo "nothing listens on port $*"; exit 1; }
}

# The client shares equally many leading bits with every server, so that getaddrinfo(3) keeps the order of the
# answer within a family (RFC 6724, rule 9).
make_hosts() {
	ip netns add server
	ip link add c0 type veth peer name s0 netns server
	server ip link set lo up
	ip addr add 192.0.2.200/24 dev c0
	ip addr add 2001:db8::200/64 dev c0 nodad
	for n in 2 11 12 13 14 15 16 66 67 68 69 77 78; do
		server ip addr add 192.0.2.$n/24 dev s0
		server ip addr add 2001:db8::$n/64 dev s0 nodad
	done
	ip link set c0 up
	server ip link set s0 up
	server nft -f - <<-'END'
	table inet taps {
		chain input {
			type filter hook input priority 0
			ip daddr 192.0.2.66-192.0.2.69 drop
			ip6 daddr 2001:db8::66-2001:db8::69 drop
			ip daddr 192.0.2.77-192.0.2.78 meta l4proto tcp reject with tcp reset
			ip6 daddr 2001:db8::77-2001:db8::78 meta l4proto tcp reject with tcp reset
		}
	}
	END
}

# order_of NAME: its addresses as getaddrinfo(3) gives them.
order_of() {
	getent ahosts "$1" | awk '$2 == "STREAM" { print $1 }' | paste -sd " "
}

# A file of our own in the place of one of the machine's, for this mount namespace only.
put_file() {
	local target
	target=$(readlink -m "$1")
	mkdir -p "$(dirname "$target")"
	cat >"$work/$(basename "$1")"
	[ -e "$target" ] || : >"$target"
	mount --bind "$work/$(basename "$1")" "$target"
}

make_names() {
	put_file /etc/resolv.conf <<-'END'
	nameserver 192.0.2.2
	options timeout:2 attempts:2
	END
	put_file /etc/nsswitch.conf <<-'END'
	passwd: files
	group: files
	hosts: files dns
	services: files
	protocols: files
	END
	put_file /etc/hosts <<-'END'
	127.0.0.1 localhost
	::1 localhost
	END
	put_file /etc/gai.conf </dev/null
	# dnsmasq gives several records of one name in this order if they are new to it.
	cat >"$work/names" <<-'END'
	host-record=four.test,192.0.2.68
	host-record=four.test,192.0.2.69
	host-record=four.test,192.0.2.13
	host-record=four.test,192.0.2.14
	host-record=first4dead.test,192.0.2.67
	host-record=first4dead.test,192.0.2.12
	host-record=mixed.test,192.0.2.15,2001:db8::67
	host-record=mixed.test,192.0.2.16,2001:db8::68
	host-record=healthy.test,192.0.2.11,2001:db8::11
	host-record=v4only.test,192.0.2.11
	host-record=v6only.test,2001:db8::11
	host-record=elsewhere.test,192.0.2.14
	host-record=v6dead.test,192.0.2.11,2001:db8::66
	host-record=v4dead.test,192.0.2.66,2001:db8::11
	host-record=refused.test,192.0.2.11,2001:db8::77
	host-record=alldead.test,192.0.2.66,2001:db8::66
	host-record=allrefused.test,192.0.2.77,2001:db8::77
	host-record=deadrefused.test,192.0.2.77,2001:db8::66
	END
	start dns dnsmasq --keep-in-foreground --conf-file="$work/names" --no-resolv --no-hosts --local=/test/ \
		--user=root --listen-address=192.0.2.2 --bind-interfaces --no-round-robin --pid-file=
	wait_for 10 getent ahosts healthy.test || { echo "no answer from the DNS server"; exit 1; }
}

# prefer_v4, prefer_default: the order in which getaddrinfo(3) gives the families (gai.conf(5)).
prefer_v4() {
	echo 'precedence ::ffff:0:0/96 100' >"$work/gai.conf"
}

prefer_default() {
	: >"$work/gai.conf"
}

net_up() {
	need ip nft dnsmasq ss nsenter setpriv
	make_hosts
	make_names
}

# compile NAME SOURCE [FLAG…]: a C program in $work.
compile() {
	local name=$1 source=$2
	shift 2
	${CC:-cc} -O1 -D_GNU_SOURCE -o "$work/$name" "$source" "$@" || { echo "cannot compile $source"; exit 1; }
}

# --- the wire -------------------------------------------------------------------------------------------
# wire.c notes, on the server's side of the cable, when each connection attempt of the client arrives, is
# completed and carries its first byte.

wire_up() {
	compile wire "$scenario/wire.c"
	start wire "$work/wire" s0
	wait_for 5 test -s "$work/wire.log" || { echo "cannot watch the wire"; exit 1; }
	wire_mark
}

# What follows is counted from here.
wire_mark() {
	WIRE_MARK=$(wc -l <"$work/wire.log")
}

# wire_lines PORT: the lines since the mark.
wire_lines() {
	tail -n +$((WIRE_MARK + 1)) "$work/wire.log" | awk -v port="$1" '$5 == port'
}

# wire_ms PORT KIND: milliseconds from the first SYN to the first established connection (KIND E) or to the
# first byte of the client (D); nothing when there was none.
wire_ms() {
	wait_for 1 wire_has "$1" "$2"
	wire_lines "$1" | awk -v kind="$2" '
		$2 == "S" && !first { first = $1 }
		$2 == kind && first { printf "%d\n", ($1 - first) / 1000; exit }'
}

wire_has() {
	wire_lines "$1" | grep -q " $2 "
}

# wire_count PORT KIND
wire_count() {
	wire_lines "$1" | grep -c " $2 "
}
