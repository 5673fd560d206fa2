# TCPSocket, then an HTTP request for /hello.  usage: fetch.rb HOST PORT
require 'socket'

start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
s = TCPSocket.new(ARGV[0], ARGV[1])
warn format('connect %d', (Process.clock_gettime(Process::CLOCK_MONOTONIC) - start) * 1000)
s.write("GET /hello HTTP/1.0\r\n\r\n")
print s.read
