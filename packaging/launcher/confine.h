/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher takes from the program before it becomes it; verbs.def says how much each command keeps. */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>
#include <stddef.h>

enum namespaces { NO_NAMESPACES, NAMESPACES };

/* Below which directories files may be made, changed and removed; in all but ANYTHING the cache is among them. */
enum writing { NOTHING, DATA, ANYTHING };

struct verb {
	const char *name;
	unsigned long long capabilities;
	enum namespaces namespaces;
	enum writing writing;
};

/* What a command keeps. Never NULL. */
const struct verb *verb_of(const char *word);

/*
 * Standard input, output and error are open, to /dev/null where they were not; all other descriptors are closed but
 * those that a service manager hands over (LISTEN_FDS).
 */
void confine_descriptors(void);

/*
 * SIGUSR1 is held back from all threads: the runtime would open its debugger to every user of the box. A file that
 * grows beyond RLIMIT_FSIZE is an error, not the end.
 */
void confine_signals(void);

/* Whether the runtime can make the threads that it starts with. Tried only where a limit is low (RLIMIT_NPROC). */
bool confine_has_threads(void);

/* Takes variables that steer the runtime, the dynamic loader or glibc out of the environment. */
void confine_environment(void);

/* Why the capabilities that are on this file (setcap) have no effect; NULL where they have, or there are none. */
const char *confine_lost(const struct verb *verb);

/*
 * No core dumps; locked memory without limit where it can be had; the capabilities of the verb, and no others from now
 * on. With a user, becomes that user. NULL, or what failed.
 */
const char *confine_process(const struct verb *verb, const char *user);

/* From now on files are written only where the verb may; in a kernel without Landlock, wherever their owner may. */
void confine_writing(const struct verb *verb, const char *cache, const char *config);

/* From now on system calls that no packet appliance needs fail. */
void confine_calls(const struct verb *verb);

#endif
