// net.connect() without node's own racing, then an HTTP request for /hello.  usage: fetch.js HOST PORT
const net = require('net');

const start = Date.now();
const s = net.connect({ host: process.argv[2], port: process.argv[3], autoSelectFamily: false }, () => {
	process.stderr.write(`connect ${Date.now() - start}\n`);
	s.write('GET /hello HTTP/1.0\r\n\r\n');
});
s.on('data', (data) => process.stdout.write(data));
s.on('error', (error) => {
	process.stderr.write(`${error.code}\n`);
	process.exitCode = 1;
});
