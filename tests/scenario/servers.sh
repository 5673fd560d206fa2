# Real servers for the scenarios, on the server host, each with its files in $TMP; sourced after net.sh.
# The bytes that nginx gives for /hello are "the right bytes".

# nginx_up [WRAPPER…]: port 80; also serves the git repository /repo.git and $TMP/www.
nginx_up() {
	need nginx nginx-light
	mkdir -p "$TMP/www"
	echo "the right bytes" >"$TMP/www/hello"
	cat >"$TMP/nginx.conf" <<-END
	user root;
	worker_processes 2;
	daemon off;
	pid $TMP/nginx-master.pid;
	error_log $TMP/nginx-error.log;
	events { worker_connections 4096; }
	http {
		access_log $TMP/nginx-access.log;
		client_body_temp_path $TMP;
		proxy_temp_path $TMP;
		fastcgi_temp_path $TMP;
		uwsgi_temp_path $TMP;
		scgi_temp_path $TMP;
		server {
			listen 80;
			listen [::]:80;
			root $TMP/www;
			location / { autoindex on; }
		}
	}
	END
	start nginx "$@" nginx -c "$TMP/nginx.conf"
	wait_port 80
}

# git_repo NAME: a repository with one commit, served by any web server below $TMP/www.
git_repo() {
	need git git
	local work=$TMP/$1.work
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$TMP
	git init -q -b main "$work"
	echo "the right bytes" >"$work/hello"
	git -C "$work" add hello
	git -C "$work" -c user.name=t -c user.email=t@example.com commit -qm one
	git clone -q --bare "$work" "$TMP/www/$1.git"
	git -C "$TMP/www/$1.git" update-server-info
}

# redis_up [WRAPPER…]: port 6379.
redis_up() {
	need redis-server redis-server
	start redis "$@" redis-server --port 6379 --bind '*' '-::*' --protected-mode no --save '' --dir "$TMP" \
		--daemonize no
	wait_port 6379
}

postgres_bin() {
	local dir
	for dir in /usr/lib/postgresql/*/bin; do
		[ -x "$dir/postgres" ] && echo "$dir"
	done | tail -n 1
}

# postgres_up [WRAPPER…]: port 5432, user postgres without a password.
postgres_up() {
	PGBIN=$(postgres_bin)
	[ -n "$PGBIN" ] || skip "postgres is missing (package postgresql)"
	if [ ! -d "$TMP/pg" ]; then
		install -d -o postgres "$TMP/pg"
		setpriv --reuid postgres --regid postgres --clear-groups \
			"$PGBIN/initdb" -D "$TMP/pg" -A trust -N -E UTF8 --locale=C >"$TMP/initdb.log" 2>&1 ||
			{ echo "initdb failed"; exit 1; }
		printf 'host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n' >>"$TMP/pg/pg_hba.conf"
	fi
	start postgres setpriv --reuid postgres --regid postgres --clear-groups "$@" "$PGBIN/postgres" -D "$TMP/pg" \
		-c listen_addresses='*' -c port=5432 -c unix_socket_directories="$TMP/pg" -c fsync=off \
		-c max_connections=20 -c shared_buffers=16MB
	wait_port 5432
	export PGUSER=postgres PGDATABASE=postgres
	until_true 20 server "$PGBIN/pg_isready" -q -h 192.0.2.11
}
