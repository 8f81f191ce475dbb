// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CAP(name) (1ULL << CAP_##name)
#define VERB(name, capabilities, namespaces, writing) { name, capabilities, namespaces, writing },

static const struct verb verbs[] = {
#include "verbs.def"
	{ "", 0, NO_NAMESPACES, NOTHING }, /* all others */
};

const struct verb *verb_of(const char *word)
{
	const struct verb *verb = verbs;

	while (*verb->name && (!word || strcmp(verb->name, word)))
		verb++;
	return verb;
}

void confine_descriptors(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	unsigned int first = 3;

	if (pid && count && strtol(pid, NULL, 10) == getpid()) {
		long given = strtol(count, NULL, 10);

		if (given > 0 && given < 1 << 20)
			first += given;
	}
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDWR); /* the lowest number that is free is this one */
	if (syscall(SYS_close_range, first, ~0U, 0)) /* Linux 5.9; all that steer have it */
		for (int fd = first; fd < 1024; fd++)
			close(fd);
}

void confine_signals(void)
{
	sigset_t held;

	/* Ignored would not do: the runtime takes it anyway, some time after its start. */
	sigemptyset(&held);
	sigaddset(&held, SIGUSR1);
	sigprocmask(SIG_BLOCK, &held, NULL);
	signal(SIGXFSZ, SIG_IGN);
}

/* With 4 the runtime starts, with 3 it does not. */
#define THREADS 6
#define LOW 1024

bool confine_has_threads(void)
{
	pid_t children[THREADS], child;
	struct rlimit limit;
	int count = 0;

	if (getrlimit(RLIMIT_NPROC, &limit) || limit.rlim_cur >= LOW)
		return true;
	for (; count < THREADS; count++) {
		child = fork();
		if (child < 0)
			break;
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pause();
			_exit(0);
		}
		children[count] = child;
	}
	for (int i = 0; i < count; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	return count == THREADS;
}

/* Read by Deno and the Node in it, OpenTelemetry in Deno, Rust, the dynamic loader, glibc. */
static const char *const prefixes[] = { "DENO_", "NODE_", "OTEL_", "RUST_", "LD_", "GLIBC_" };

static bool is_kept(const char *variable)
{
	/* Documented; but not where somebody runs this with rights that are not his own. */
	if (!strncmp(variable, "GLIBC_TUNABLES=", strlen("GLIBC_TUNABLES=")))
		return !getauxval(AT_SECURE);
	/* Tests have a handover fail with it. */
	if (!strncmp(variable, "XDPSTEER_TEST_", strlen("XDPSTEER_TEST_")))
		return getenv("XDPSTEER_UNCONFINED") && !getauxval(AT_SECURE);
	for (unsigned int i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (!strncmp(variable, prefixes[i], strlen(prefixes[i])))
			return false;
	return true;
}

void confine_environment(void)
{
	char **to = environ;

	for (char **from = environ; *from; from++)
		if (is_kept(*from))
			*to++ = *from;
	*to = NULL;
}

const char *confine_lost(const struct verb *verb)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2];
	struct statvfs place;

	if (!(verb->capabilities & CAP(NET_RAW)) || getxattr("/proc/self/exe", "security.capability", NULL, 0) <= 0)
		return NULL;
	if (syscall(SYS_capget, &header, sets) || sets[0].permitted & CAP(NET_RAW))
		return NULL;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return "whoever started it may gain none (no_new_privs)";
	if (!statvfs("/proc/self/exe", &place) && place.f_flag & ST_NOSUID)
		return "its file system is mounted nosuid";
	return NULL;
}

struct account {
	unsigned int uid, gid;
	char name[256], home[1024];
};

/* From /etc/passwd: a static program has no other source of names. A number needs no entry. */
static bool find_account(const char *user, struct account *account)
{
	char line[4096], *rest;
	unsigned long number = strtoul(user, &rest, 10);
	bool is_number = *user && !*rest, found = false;
	FILE *file = fopen("/etc/passwd", "re");

	while (file && !found && fgets(line, sizeof(line), file)) {
		char home[1024] = "";

		if (sscanf(line, "%255[^:]:%*[^:]:%u:%u:%*[^:]:%1023[^:\n]", account->name, &account->uid,
			   &account->gid, home) < 3 &&
		    sscanf(line, "%255[^:]::%u:%u", account->name, &account->uid, &account->gid) != 3)
			continue;
		if (!*home)
			sscanf(line, "%*[^:]:%*[^:]:%*u:%*u::%1023[^:\n]", home); /* without a comment */
		snprintf(account->home, sizeof(account->home), "%s", *home == '/' ? home : "/");
		found = is_number ? account->uid == number : !strcmp(account->name, user);
	}
	if (file)
		fclose(file);
	if (found || !is_number || number >= 0xffffffff)
		return found;
	account->uid = account->gid = number;
	snprintf(account->name, sizeof(account->name), "%s", user);
	strcpy(account->home, "/");
	return true;
}

/* The groups that /etc/group says a user is in. */
static size_t find_groups(const char *name, gid_t *groups, size_t room)
{
	char line[16384], *rest, *members;
	FILE *file = fopen("/etc/group", "re");
	size_t count = 0;

	while (file && count < room && fgets(line, sizeof(line), file)) {
		unsigned int gid;

		if (sscanf(line, "%*[^:]:%*[^:]:%u:", &gid) != 1 || !(members = strrchr(line, ':')))
			continue;
		for (char *word = strtok_r(members + 1, ",\n", &rest); word; word = strtok_r(NULL, ",\n", &rest))
			if (!strcmp(word, name)) {
				groups[count++] = gid;
				break;
			}
	}
	if (file)
		fclose(file);
	return count;
}

/*
 * A directory of ours for a user, as a service manager makes it; one that belongs to another user is left alone.
 * Returns whether it was not there before.
 */
static bool give(const char *path, unsigned int mode, const struct account *account)
{
	bool is_new = !mkdir(path, 0700);
	struct stat status;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return is_new;
	if (!fstat(fd, &status) && status.st_uid == 0 && !fchown(fd, account->uid, account->gid))
		fchmod(fd, mode);
	close(fd);
	return is_new;
}

/* Everything a user needs but capabilities, which survive the change. */
static const char *become(const char *user)
{
	static struct account account;
	static char cache[64];
	const struct {
		const char *path;
		unsigned int mode;
	} places[] = { { cache, 0700 }, { "/run/xdpsteer", 0755 }, { "/var/lib/xdpsteer", 0700 } };
	bool is_new[sizeof(places) / sizeof(*places)];
	gid_t groups[256];
	size_t count;

	if (!find_account(user, &account))
		return "there is no such user in /etc/passwd";
	if (account.uid == 0)
		return "that is root";
	snprintf(cache, sizeof(cache), "/var/cache/xdpsteer-%u", account.uid);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		is_new[i] = give(places[i].path, places[i].mode, &account);
	count = find_groups(account.name, groups, sizeof(groups) / sizeof(*groups));
	if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(count, groups) || setresgid(account.gid, account.gid, account.gid) ||
	    setresuid(account.uid, account.uid, account.uid)) {
		const char *failure = errno == EPERM ? "only root may" : strerror(errno);

		for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
			if (is_new[i])
				rmdir(places[i].path); /* we are who we were, and leave what there was */
		return failure;
	}
	setenv("CACHE_DIRECTORY", cache, 1);
	setenv("HOME", account.home, 1);
	setenv("USER", account.name, 1);
	setenv("LOGNAME", account.name, 1);
	return NULL;
}

/* So that no program that it starts, of whatever owner, has more. Only who has CAP_SETPCAP may. */
static void narrow_bounding_set(unsigned long long keep)
{
	for (int capability = 0; capability < 64 && prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
		if (!(keep >> capability & 1))
			prctl(PR_CAPBSET_DROP, capability);
}

/* Keeps the capabilities in `keep` that the process has; as another user than root also across exec. */
static void keep_capabilities(unsigned long long keep)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2];
	unsigned long long permitted, inheritable;
	bool is_root = geteuid() == 0;

	if (syscall(SYS_capget, &header, sets))
		return;
	permitted = (sets[0].permitted | (unsigned long long)sets[1].permitted << 32) & keep;
	inheritable = is_root ? 0 : permitted; /* root's exec takes them from the bounding set */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int half = 0; half < 2; half++) {
		sets[half].permitted = sets[half].effective = permitted >> 32 * half;
		sets[half].inheritable = inheritable >> 32 * half;
	}
	syscall(SYS_capset, &header, sets);
	for (int capability = 0; capability < 64; capability++)
		if (inheritable >> capability & 1)
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

const char *confine_process(const struct verb *verb, const char *user)
{
	/* Niceness 0: one that takes over from this process takes back what its control thread has yielded. */
	const struct rlimit none = { 0, 0 }, endless = { RLIM_INFINITY, RLIM_INFINITY }, ordinary = { 20, 20 };
	unsigned long long keep = verb->capabilities;
	struct rlimit locked;

	setrlimit(RLIMIT_CORE, &none);
	/* Packet memory is locked. What has no limit needs no capability; a container may have that only. */
	if (keep & CAP(NET_RAW)) {
		setrlimit(RLIMIT_MEMLOCK, &endless);
		setrlimit(RLIMIT_NICE, &ordinary);
		if (!getrlimit(RLIMIT_MEMLOCK, &locked) && locked.rlim_cur != RLIM_INFINITY)
			keep |= CAP(IPC_LOCK);
	}
	narrow_bounding_set(keep); /* while root still is */
	if (user) {
		const char *failure = become(user);

		if (failure)
			return failure;
	}
	keep_capabilities(keep);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return strerror(errno);
	return NULL;
}
