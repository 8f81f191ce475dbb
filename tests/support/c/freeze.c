/*
 * freeze THREAD: stops one thread of another process, until standard input ends.
 *
 * PTRACE_SEIZE stops nothing, PTRACE_INTERRUPT stops this thread only; a signal would stop the whole process. The
 * thread goes on when this program ends, however it ends. Says "frozen" when the thread stands still. Its process
 * cannot end before the thread has been waited for here, so that is done too.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_MS 20

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	pid_t thread = argc == 2 ? atoi(argv[1]) : 0;
	int status;

	if (thread <= 0)
		return 2;
	if (ptrace(PTRACE_SEIZE, thread, 0, 0))
		return failed("PTRACE_SEIZE");
	if (ptrace(PTRACE_INTERRUPT, thread, 0, 0))
		return failed("PTRACE_INTERRUPT");
	if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status))
		return failed("waitpid");
	puts("frozen");
	fflush(stdout);
	while (poll(&input, 1, STEP_MS) == 0)
		if (waitpid(thread, &status, __WALL | WNOHANG) == thread && !WIFSTOPPED(status))
			return 0; /* it has ended */
	if (ptrace(PTRACE_DETACH, thread, 0, 0) && errno != ESRCH)
		return failed("PTRACE_DETACH");
	return 0;
}
