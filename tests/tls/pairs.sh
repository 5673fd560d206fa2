# Servers with TLS and without, and clients of each; sourced after tls.sh.

# --- servers that have both a clear port and one with TLS -------------------------------------------------

# Under the document root: hello, and files of the sizes at which records begin and end.
web_root() {
	local size
	mkdir -p "$work/www"
	echo "$HELLO" >"$work/www/hello"
	for size in 0 1 16383 16384 16385; do
		head -c "$size" /dev/urandom >"$work/www/$size"
	done
}

# nginx: 80 and 443, which also take what is PUT.
tls_nginx() {
	need nginx
	cat >"$work/nginx.conf" <<-END
	user root;
	worker_processes 2;
	daemon off;
	pid $work/nginx-master.pid;
	error_log $work/nginx-error.log;
	events { worker_connections 1024; }
	http {
		access_log off;
		keepalive_requests 100000;
		client_max_body_size 2g;
		client_body_temp_path $work;
		proxy_temp_path $work;
		fastcgi_temp_path $work;
		uwsgi_temp_path $work;
		scgi_temp_path $work;
		server {
			listen 80;
			listen [::]:80;
			listen 443 ssl;
			listen [::]:443 ssl;
			ssl_protocols TLSv1.3;
			ssl_certificate $work/server.pem;
			ssl_certificate_key $work/server.key;
			root $work/www;
			dav_methods PUT;
			location / { autoindex on; }
		}
	}
	END
	start nginx nginx -c "$work/nginx.conf"
	wait_port 443
}

# redis: 6379 and 6390.
tls_redis() {
	need redis-server redis-cli
	start redis redis-server --port 6379 --tls-port 6390 --tls-cert-file "$work/server.pem" \
		--tls-key-file "$work/server.key" --tls-auth-clients no --bind '*' '-::*' --protected-mode no --save '' \
		--dir "$work" --daemonize no
	wait_port 6390
	server redis-cli -h 192.0.2.11 set hello "$HELLO" >"$work/redis-set.log"
}

# postgres: 5432, and behind stunnel 5433; the transfer server: 7000 and 7002 (7001 and 7003 with TLS).
tls_stunnel() {
	need stunnel4
	cat >"$work/stunnel.conf" <<-END
	foreground = yes
	pid =
	syslog = no
	cert = $work/both.pem
	sslVersion = TLSv1.3
	[postgres]
	accept = :::5433
	connect = 127.0.0.1:5432
	[transfer]
	accept = :::7001
	connect = 127.0.0.1:7000
	[greeting]
	accept = :::7003
	connect = 127.0.0.1:7002
	END
	start stunnel stunnel4 "$work/stunnel.conf"
	wait_port 7003
}

# openssl s_server: 9001, every line comes back reversed.
tls_s_server() {
	start s_server openssl s_server -accept 9001 -cert "$work/server.pem" -key "$work/server.key" -tls1_3 -rev -quiet
	wait_port 9001
}

# mosquitto: 1883 and 8883.
tls_mosquitto() {
	need mosquitto mosquitto_pub mosquitto_sub
	cat >"$work/mosquitto.conf" <<-END
	user root
	allow_anonymous true
	listener 1883
	listener 8883
	certfile $work/server.pem
	keyfile $work/server.key
	tls_version tlsv1.3
	END
	start mosquitto mosquitto -c "$work/mosquitto.conf"
	wait_port 8883
}

transfer_servers() {
	compile transfer "$here/transfer.c" -pthread
	start transfer "$work/transfer" server 7000
	start greeting "$work/transfer" server 7002 greet
	wait_port 7000
	wait_port 7002
}

# The applications know the clear ports; the rule leads them to the others.
client_rules() {
	local entry rules=
	for entry in 80:443 6379:6390 5432:5433 1883:8883 7000:7001 7002:7003 9000:9001; do
		rules+=$(rule "port = ${entry%:*}; role = \"initiate\";" "trust = \"$work/ca.pem\";" "port = ${entry#*:};")$'\n'
	done
	rules_file "$work/client.conf" "$rules"
}

# --- clear-text clients -------------------------------------------------------------------------------------

CLIENTS="curl wget nc redis-cli psql http.client asyncio node java perl git lftp mosquitto_pub ab stdio"

http_request() { # PATH
	printf 'GET /%s?%s HTTP/1.0\r\nHost: x\r\n\r\n' "$1" "$MARKER"
}

# client CLIENT HOST [WRAPPER…]: asks for hello, and prints it.
client() {
	local name=$1 host=$2
	shift 2
	case $name in
	curl) "$@" curl -sS "http://$host/hello?$MARKER" ;;
	wget) "$@" wget -q -O - -t 1 "http://$host/hello?$MARKER" ;;
	nc) http_request hello | "$@" nc "$host" 80 | tail -n 1 ;;
	redis-cli) printf 'set other %s\nget hello\n' "$MARKER" | "$@" redis-cli -h "$host" | tail -n 1 ;;
	psql) "$@" psql -X -At -d "host=$host user=postgres dbname=postgres sslmode=disable" -c "select 'the ' || 'right bytes $MARKER'" ;;
	http.client) "$@" "$python" "$here/clients/fetch.py" http.client "$host" 80 ;;
	asyncio) "$@" "$python" "$here/clients/fetch.py" asyncio "$host" 80 ;;
	node) "$@" node "$here/clients/fetch.js" "$host" 80 ;;
	java) "$@" java -XX:TieredStopAtLevel=1 -Djava.net.preferIPv6Addresses=system -cp "$work" Fetch "$host" 80 ;;
	perl) "$@" perl -MLWP::Simple -e "print get(\"http://$host/hello?$MARKER\")" ;;
	git) rm -rf "$work/clone" && "$@" git -c "http.userAgent=$MARKER" clone -q "http://$host/repo.git" "$work/clone" &&
		cat "$work/clone/hello" ;;
	lftp) "$@" lftp -f /dev/null -c "set net:max-retries 1; set http:user-agent $MARKER; cat http://$host/hello" ;;
	mosquitto_pub) published "$host" "$@" ;;
	ab) "$@" ab -q -k -n 500 -c 8 -H "X: $MARKER" "http://$host/hello" | grep -E '^(Complete|Failed)' ;;
	stdio) "$@" "$work/stdio" "$host" 80 ;;
	s_server) reversed | "$@" nc -N "$host" 9000 ;;
	esac
}

reversed() {
	"$python" -c "import sys; print(sys.argv[1][::-1])" "$HELLO"
}

# What a client prints when all is well.
answer_of() {
	case $1 in
	ab) printf 'Complete requests:      500\nFailed requests:        0\n' ;;
	*) echo "$HELLO" ;;
	esac
}

# A subscriber on the server's host gets what was published.
published() {
	local host=$1 subscriber
	shift
	: >"$work/subscribed"
	server timeout 20 mosquitto_sub -h 127.0.0.1 -t news -C 2 -d >"$work/subscribed" 2>&1 &
	subscriber=$!
	wait_for 10 grep -q SUBACK "$work/subscribed"
	"$@" mosquitto_pub -h "$host" -t news -m "$HELLO"
	"$@" mosquitto_pub -h "$host" -t news -m "last"
	wait "$subscriber"
	grep -x "$HELLO" "$work/subscribed"
}

clients_up() {
	need curl wget nc redis-cli psql node java javac perl git lftp mosquitto_pub ab
	perl -MLWP::Simple -e 1 2>/dev/null || skip "perl's LWP is not installed"
	compile stdio "$here/clients/stdio.c"
	quietly javac -d "$work" "$here/clients/Fetch.java"
	client_rules
}

clear_and_tls_servers_up() {
	web_root
	tls_nginx
	git_repo repo
	echo "$HELLO" >"$work/hello"
	(cd "$work/repo.work" && cp "$work/hello" . && git -c user.name=t -c user.email=t@x commit -qam "$MARKER" &&
		git push -q "$work/www/repo.git" main && git -C "$work/www/repo.git" update-server-info)
	tls_redis
	postgres_up
	tls_mosquitto
	transfer_servers
	tls_stunnel
	tls_s_server
}

# --- clear-text servers under tapsrun -------------------------------------------------------------------------

SERVERS="nginx redis http.server forking greeting lighttpd memcached java inetd"

port_of() {
	case $1 in
	nginx) echo 8081 ;;
	redis) echo 8082 ;;
	http.server) echo 8083 ;;
	forking) echo 8084 ;;
	greeting) echo 8085 ;;
	inetd) echo 8086 ;;
	lighttpd) echo 8087 ;;
	memcached) echo 8088 ;;
	java) echo 8089 ;;
	esac
}

clients_of() {
	case $1 in
	redis) echo "redis-cli s_client gnutls-cli python" ;;
	forking | greeting | memcached | inetd) echo "s_client gnutls-cli python" ;;
	*) echo "curl s_client gnutls-cli python" ;;
	esac
}

# What has hello for an answer.
question_for() {
	case $1 in
	redis) printf 'get hello\r\nquit\r\n' ;;
	memcached) printf 'get hello\r\nquit\r\n' ;;
	forking | greeting) printf 'say 5\n' ;;
	inetd) printf '%s\n' "$HELLO" ;;
	*) http_request hello ;;
	esac
}

reply_of() {
	case $1 in
	forking | greeting) echo "heard 5 $MARKER" ;;
	*) echo "$HELLO" ;;
	esac
}

# tls_client CLIENT PORT: sends standard input, and prints what comes to the end.
tls_client() {
	local bound=(timeout -k 1 20) port=$2
	case $1 in
	curl) "${bound[@]}" curl -sS --cacert "$work/ca.pem" "https://healthy.test:$port/hello?$MARKER" ;;
	redis-cli) "${bound[@]}" redis-cli --tls --cacert "$work/ca.pem" --sni healthy.test -h healthy.test -p "$port" get hello ;;
	s_client) "${bound[@]}" openssl s_client -quiet -verify_quiet -connect "healthy.test:$port" -CAfile "$work/ca.pem" \
		-servername healthy.test -verify_hostname healthy.test -verify_return_error ;;
	gnutls-cli) "${bound[@]}" gnutls-cli --logfile /dev/null --x509cafile "$work/ca.pem" -p "$port" healthy.test ;;
	python) "${bound[@]}" "$python" "$here/clients/talk.py" healthy.test "$port" "$work/ca.pem" ;;
	esac
}

server_rules() {
	rules_file "$work/server.conf" "$(rule 'port = "8080-8099"; role = "listen";' \
		"serverCertificate = ( { certificate = \"$work/server.pem\"; key = \"$work/server.key\"; } );")"
}

# secured NAME COMMAND…: a server under tapsrun.
secured() {
	local name=$1
	shift
	start "$name" "$tapsrun" -c "$work/server.conf" "$@"
}

clear_nginx() {
	mkdir -p "$work/nginx-clear"
	cat >"$work/nginx-clear.conf" <<-END
	user root;
	worker_processes 2;
	daemon off;
	pid $work/nginx-clear.pid;
	error_log $work/nginx-clear.error;
	events { worker_connections 1024; }
	http {
		access_log off;
		client_max_body_size 2g;
		client_body_temp_path $work/nginx-clear;
		proxy_temp_path $work/nginx-clear;
		fastcgi_temp_path $work/nginx-clear;
		uwsgi_temp_path $work/nginx-clear;
		scgi_temp_path $work/nginx-clear;
		server {
			listen 8081;
			listen [::]:8081;
			root $work/www;
			dav_methods PUT;
		}
	}
	END
	secured nginx nginx -c "$work/nginx-clear.conf"
}

clear_lighttpd() {
	cat >"$work/lighttpd.conf" <<-END
	server.document-root = "$work/www"
	server.port = 8087
	server.bind = "0.0.0.0"
	\$SERVER["socket"] == "[::]:8087" { }
	END
	secured lighttpd lighttpd -D -f "$work/lighttpd.conf"
}

clear_inetd() {
	printf '8086 stream tcp6 nowait root /usr/bin/head head -n 1\n8086 stream tcp nowait root /usr/bin/head head -n 1\n' \
		>"$work/inetd.conf"
	secured inetd inetd -d "$work/inetd.conf"
}

hello_is_stored() {
	local name
	printf 'set hello 0 0 %d\r\n%s\r\nquit\r\n' "${#HELLO}" "$HELLO" | tls_client python 8088 | grep -q STORED || return 1
	printf 'set hello "%s"\r\nquit\r\n' "$HELLO" | tls_client python 8082 | grep -q OK
}

# The server host has no name service of its own; addresses do.
servers_up() {
	local name
	need nginx redis-server lighttpd memcached java javac inetd gnutls-cli redis-cli
	web_root
	compile transfer "$here/transfer.c" -pthread
	quietly javac -d "$work" "$here/clients/Serve.java"
	clear_nginx
	secured redis redis-server --port 8082 --bind '*' '-::*' --protected-mode no --save '' --dir "$work" --daemonize no
	secured http.server "$python" -m http.server -b :: -d "$work/www" 8083
	secured forking "$work/transfer" server 8084
	secured greeting "$work/transfer" server 8085 greet
	clear_inetd
	clear_lighttpd
	secured memcached memcached -u root -l 0.0.0.0,:: -p 8088 -U 0 -t 2
	secured java java -XX:TieredStopAtLevel=1 -cp "$work" Serve 8089 "$work/www/hello"
	for name in $SERVERS; do
		wait_port "$(port_of "$name")"
	done
	hello_is_stored || { echo "hello cannot be stored"; exit 1; }
}
