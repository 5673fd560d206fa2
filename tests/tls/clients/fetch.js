// http.get(), the body of /hello?$MARKER.  usage: fetch.js HOST PORT
const http = require('http');

http.get({ host: process.argv[2], port: process.argv[3], path: `/hello?${process.env.MARKER}` }, (reply) => {
	reply.pipe(process.stdout);
}).on('error', (error) => {
	process.stderr.write(`${error}\n`);
	process.exitCode = 1;
});
