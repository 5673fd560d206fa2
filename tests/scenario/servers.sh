# Real servers for the scenarios, on the server host, each with its files in $work; sourced after net.sh.
# The bytes that nginx gives for /hello are "the right bytes".

# nginx_up [WRAPPER…]: port 80; also serves the git repository /repo.git and $work/www.
nginx_up() {
	need nginx
	mkdir -p "$work/www"
	echo "the right bytes" >"$work/www/hello"
	cat >"$work/nginx.conf" <<-END
	user root;
	worker_processes 2;
	daemon off;
	pid $work/nginx-master.pid;
	error_log $work/nginx-error.log;
	events { worker_connections 4096; }
	http {
		access_log $work/nginx-access.log;
		client_body_temp_path $work;
		proxy_temp_path $work;
		fastcgi_temp_path $work;
		uwsgi_temp_path $work;
		scgi_temp_path $work;
		server {
			listen 80;
			listen [::]:80;
			root $work/www;
			location / { autoindex on; }
		}
	}
	END
	start nginx "$@" nginx -c "$work/nginx.conf"
	wait_port 80
}

# git_repo NAME: a repository with one commit, served by any web server below $work/www.
git_repo() {
	need git
	local tree=$work/$1.work
	export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$work
	git init -q -b main "$tree"
	echo "the right bytes" >"$tree/hello"
	git -C "$tree" add hello
	git -C "$tree" -c user.name=t -c user.email=t@example.com commit -qm one
	git clone -q --bare "$tree" "$work/www/$1.git"
	git -C "$work/www/$1.git" update-server-info
}

# redis_up [WRAPPER…]: port 6379.
redis_up() {
	need redis-server
	start redis "$@" redis-server --port 6379 --bind '*' '-::*' --protected-mode no --save '' --dir "$work" \
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
	if [ ! -d "$work/pg" ]; then
		install -d -o postgres "$work/pg"
		setpriv --reuid postgres --regid postgres --clear-groups \
			"$PGBIN/initdb" -D "$work/pg" -A trust -N -E UTF8 --locale=C >"$work/initdb.log" 2>&1 ||
			{ echo "initdb failed"; exit 1; }
		printf 'host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n' >>"$work/pg/pg_hba.conf"
	fi
	start postgres setpriv --reuid postgres --regid postgres --clear-groups "$@" "$PGBIN/postgres" -D "$work/pg" \
		-c listen_addresses='*' -c port=5432 -c unix_socket_directories="$work/pg" -c fsync=off \
		-c max_connections=20 -c shared_buffers=16MB
	wait_port 5432
	export PGUSER=postgres PGDATABASE=postgres
	wait_for 20 server "$PGBIN/pg_isready" -q -h 192.0.2.11
}
