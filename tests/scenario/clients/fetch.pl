# IO::Socket::IP, then an HTTP request for /hello.  usage: fetch.pl HOST PORT
use strict;
use warnings;
use IO::Socket::IP;
use Time::HiRes 'time';

my $start = time;
my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Type => SOCK_STREAM) or die "connect: $@\n";
printf STDERR "connect %d\n", (time - $start) * 1000;
print $s "GET /hello HTTP/1.0\r\n\r\n";
$s->flush;
print while <$s>;
