// SPDX-License-Identifier: Apache-2.0
/*
 * Becomes another program, and leaves behind when that was: milliseconds since boot.
 *
 *   exec_time FILE PROGRAM [ARGUMENTS...]
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec time;
	FILE *file;

	if (argc < 3 || !(file = fopen(argv[1], "w")))
		return 2;
	clock_gettime(CLOCK_BOOTTIME, &time);
	fprintf(file, "%.3f\n", time.tv_sec * 1e3 + time.tv_nsec / 1e6);
	fclose(file);
	execvp(argv[2], argv + 2);
	return 127;
}
