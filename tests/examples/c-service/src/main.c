/* clockd answers each line "YEAR" on a connection with "leap" or "common". */
#include "calendar.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address(in_addr_t host)
{
	const char *port = getenv("CLOCKD_PORT");
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};

	a.sin_port = htons((uint16_t)atoi(port ? port : "7000"));
	return a;
}

static void stop(int signal)
{
	(void)signal;
	_exit(0);
}

static void answer(int connection)
{
	FILE *f = fdopen(connection, "r+");
	char line[64];

	while (f && fgets(line, sizeof line, f)) {
		fseek(f, 0, SEEK_CUR);
		fprintf(f, "%s\n", leap_year(atol(line)) ? "leap" : "common");
		fflush(f);
	}
	if (f)
		fclose(f);
}

static int serve(void)
{
	struct sockaddr_in a = address(INADDR_ANY);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 16)) {
		perror("clockd");
		return 1;
	}
	printf("clockd: port %d, user %d\n", ntohs(a.sin_port), (int)getuid());
	fflush(stdout);
	for (;;) {
		int connection = accept(listener, NULL, NULL);

		if (connection >= 0)
			answer(connection);
	}
}

static int ping(void)
{
	struct sockaddr_in a = address(INADDR_LOOPBACK);
	char reply[8] = "";
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(s, (struct sockaddr *)&a, sizeof a) || write(s, "2000\n", 5) != 5 || read(s, reply, 5) != 5) {
		perror("clockd: ping");
		return 1;
	}
	return strcmp(reply, "leap\n") != 0;
}

int main(int argc, char **argv)
{
	signal(SIGTERM, stop);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "--ping") == 0)
		return ping();
	if (argc > 1) {
		fprintf(stderr, "usage: clockd [--ping]\n");
		return 2;
	}
	return serve();
}
