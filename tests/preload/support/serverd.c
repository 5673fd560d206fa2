/* The test server as a program of its own: serverd PORT. */
#include "tests/preload/support/net.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	need(argc == 2, "usage: serverd PORT");
	serve(atoi(argv[1]));
}
