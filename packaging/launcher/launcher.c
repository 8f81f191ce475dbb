// SPDX-License-Identifier: Apache-2.0
/*
 * The head of the single file: unpacks what is behind it once, into a private directory, checks that at every start,
 * and becomes the program in there. Static, so that it needs nothing of the system but a kernel.
 *
 * Behind the launcher come the files, a zstd frame each, then the index, then the trailer (scripts/pack.ts writes
 * them):
 *
 *   index:    the id, then a line per file: mode, offset, packed size, size, XXH64, path
 *   trailer:  offset of the index, its size, its XXH64: 16 hex digits each, then "XDPSTEER"
 *
 * The cache is DIRECTORY/ID, where the id is a hash of all that is in it. It is made under another name and a lock, and
 * renamed when it is whole, so that any number of first starts at once is safe; it belongs to the caller alone (0700),
 * and nothing on the way to a file in it may be a link. A running program holds a shared lock on its directory, so that
 * a newer one removes only what nobody uses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "command.h"
#include "confine.h"
#include "files.h"
#include "tree.h"

#define MAGIC "XDPSTEER"
#define TRAILER_BYTES (3 * 16 + 8)
#define PROGRAM "xdpsteer"
#define SCRIPT "main.js"

static struct packed *files;
static unsigned int file_count;
static char id[65];
static const unsigned char *image;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	static unsigned char text[3 * PATH_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf((char *)text, sizeof(text), format, arguments);
	va_end(arguments);
	/* Names from the environment are not to steer the terminal: by C0 controls, or C1 in UTF-8 or alone. */
	for (unsigned char *at = text; *at; at++) {
		bool is_c1 = *at >= 0x80 && *at < 0xa0 && (at == text || at[-1] < 0x80 || at[-1] == 0xc2);

		if ((*at < ' ' && *at != '\n') || *at == 0x7f || is_c1)
			*at = '?';
	}
	fprintf(stderr, "xdpsteer: %s\n", text);
	exit(1);
}

static void read_index(const char *self)
{
	unsigned long long offset, size, hash;
	char *index, *line, *rest;
	struct stat status;
	char trailer[TRAILER_BYTES + 1] = "";
	int fd = open(self, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) || status.st_size < TRAILER_BYTES)
		die("cannot read %s: %s", self, strerror(errno));
	image = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		die("cannot map %s: %s", self, strerror(errno));
	close(fd);
	memcpy(trailer, image + status.st_size - TRAILER_BYTES, TRAILER_BYTES);
	if (strcmp(trailer + 48, MAGIC) || sscanf(trailer, "%16llx%16llx%16llx", &offset, &size, &hash) != 3 ||
	    offset > (unsigned long long)status.st_size || size > status.st_size - offset ||
	    XXH64(image + offset, size, 0) != hash)
		die("%s is damaged: it was cut off or changed; copy it again", self);

	index = strndup((const char *)image + offset, size);
	line = strtok_r(index, "\n", &rest);
	snprintf(id, sizeof(id), "%s", line ? line : "");
	/* No more files than bytes in the index: a line for each. */
	files = calloc(size, sizeof(*files));
	if (!files)
		die("not enough memory for an index of %llu bytes", size);
	while ((line = strtok_r(NULL, "\n", &rest))) {
		struct packed *file = &files[file_count++];

		if (sscanf(line, "%o %llu %llu %llu %llx %127s", &file->mode, &file->offset, &file->packed_size,
			   &file->size, &file->hash, file->path) != 6 ||
		    file->offset + file->packed_size > offset)
			die("%s is damaged in its index", self);
	}
	free(index);
}

/* The directory of this id within root, checked and locked, or -1. */
static int open_cache(int root)
{
	int directory = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW); /* kept across exec: the lock is on it */

	if (directory < 0)
		return -1;
	if (flock(directory, LOCK_SH) || !tree_is_private(directory)) {
		close(directory);
		return -1;
	}
	if (files_are_whole(directory, files, file_count))
		return directory;
	close(directory);
	return -1;
}

#define UNFINISHED ".new"

/* Unpacks everything under another name, then gives it its place. Under the lock of root. */
static bool fill_cache(int root)
{
	int directory, error;
	bool done;

	tree_remove(root, UNFINISHED); /* of one that was ended meanwhile */
	if (mkdirat(root, UNFINISHED, 0700))
		return false;
	directory = openat(root, UNFINISHED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	done = directory >= 0;
	for (unsigned int i = 0; done && i < file_count; i++)
		done = file_unpack(directory, &files[i], image);
	if (done) {
		tree_remove(root, id); /* one that did not pass */
		done = !renameat(root, UNFINISHED, root, id);
	}
	error = errno;
	if (directory >= 0)
		close(directory);
	if (!done)
		tree_remove(root, UNFINISHED);
	errno = error;
	return done;
}

/* What older versions left, unless they still run. */
static void remove_unused(int root)
{
	char name[NAME_MAX + 1];
	void *entries = NULL;

	while (tree_next(root, &entries, name, sizeof(name))) {
		int other;

		if (strcmp(name, id) == 0 || strspn(name, "0123456789abcdef") != 64 || name[64] != '\0')
			continue;
		other = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (other < 0)
			continue;
		if (!flock(other, LOCK_EX | LOCK_NB))
			tree_remove(root, name);
		close(other);
	}
}

/* A cache that can be used in this directory, or -1. */
static int cache_in(const char *path)
{
	int root = tree_open_private(path), directory, error;

	if (root < 0)
		return -1;
	directory = open_cache(root);
	if (directory < 0 && !flock(root, LOCK_EX)) {
		directory = open_cache(root); /* another first start may have been quicker */
		if (directory < 0 && fill_cache(root)) {
			directory = open_cache(root);
			remove_unused(root);
		}
	}
	error = errno;
	close(root); /* and its lock */
	errno = error;
	return directory;
}

/*
 * Where caches may be, in this order. An environment variable that names one, what is added to it, and whether only
 * root uses it.
 */
static const struct {
	const char *variable, *path;
	bool root_only;
} places[] = {
	{ "CACHE_DIRECTORY", "", false }, /* a service manager's */
	{ NULL, "/var/cache/xdpsteer", true },
	{ "XDG_CACHE_HOME", "/xdpsteer", false },
	{ "HOME", "/.cache/xdpsteer", false },
	{ NULL, "/dev/shm/xdpsteer", false }, /* memory: where nothing else can be written */
	{ NULL, "/tmp/xdpsteer", false },
};

/* Why a place cannot be used, in words that say what to do. */
static const char *reason(int error)
{
	switch (error) {
	case ENOEXEC:
		return "it is mounted noexec";
	case ENOSPC:
	case EDQUOT:
		return "no room is left there for 120 MB";
	case EPERM:
		return "it is not a directory that only this user can write to";
	default:
		return strerror(error);
	}
}

/* Opens the first cache that can be used, and says where it is. */
static int find_cache(char *path, size_t size)
{
	const char *wanted = getenv("XDPSTEER_CACHE_DIR");
	char why[2048] = "";
	int directory = -1;

	if (wanted) {
		snprintf(path, size, "%s", wanted);
		directory = cache_in(path);
		if (directory < 0)
			die("cannot unpack to XDPSTEER_CACHE_DIR, %s: %s\n"
			    "  hint: name a directory of your own with 120 MB free, not mounted noexec",
			    path, reason(errno));
	}
	for (unsigned int i = 0; directory < 0 && i < sizeof(places) / sizeof(*places); i++) {
		const char *prefix = places[i].variable ? getenv(places[i].variable) : "";

		if (!prefix || (places[i].variable && *prefix != '/') || (places[i].root_only && geteuid() != 0))
			continue;
		snprintf(path, size, "%s%s", prefix, places[i].path);
		if (i >= 4) /* shared with others: one each */
			snprintf(path, size, "%s-%u", places[i].path, geteuid());
		directory = cache_in(path);
		if (directory < 0)
			snprintf(why + strlen(why), sizeof(why) - strlen(why), "\n  %.200s: %s", path, reason(errno));
	}
	if (directory < 0)
		die("no directory to unpack to%s\n"
		    "  hint: set XDPSTEER_CACHE_DIR to a directory of your own with 120 MB free, not mounted noexec",
		    why);
	return directory;
}

/*
 * One arena of the program's malloc, on huge pages where the kernel has them: a tenth of a start is page faults in it.
 */
#define MALLOC "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1:glibc.malloc.top_pad=4194304"

#define DEFAULT_CONFIG "/etc/xdpsteer/steering.yaml"

/* For those who look for a fault; not for who is lent rights by the file's capabilities. */
static bool is_unconfined(void)
{
	return getenv("XDPSTEER_UNCONFINED") && !getauxval(AT_SECURE);
}

/* Takes from the process what the command does not need, but for writing and calls, which the launcher still needs. */
static void confine_first(const struct verb *verb, int *count, char **words)
{
	const char *user = *count > 1 && !strcmp(words[1], "run") ? command_option(count, words, "--user", true) : NULL;
	const char *failure;

	if (is_unconfined()) {
		if (user)
			die("--user and XDPSTEER_UNCONFINED exclude each other");
		return;
	}
	failure = confine_lost(verb);
	if (failure)
		fprintf(stderr, "xdpsteer: the capabilities on this file have no effect: %s\n", failure);
	failure = confine_process(verb, user);
	if (failure && user)
		die("cannot become user %s: %s", user, failure);
	if (failure)
		die("cannot give up privileges: %s", failure);
}

/* The rest. */
static void confine_last(const struct verb *verb, const char *directory, int count, char **words)
{
	const char *config = command_option(&count, words, "--config", false);

	if (is_unconfined())
		return;
	if (!config)
		config = command_option(&count, words, "-c", false);
	confine_writing(verb, directory, config ? config : DEFAULT_CONFIG);
	confine_calls(verb);
}

int main(int argc, char **argv)
{
	char self[PATH_MAX], root[PATH_MAX], directory[PATH_MAX + 80], value[3 * PATH_MAX], script[PATH_MAX + 128];
	bool system_libraries = getenv("XDPSTEER_SYSTEM_LIBRARIES") != NULL;
	const struct verb *verb = command_verb(argc, argv);
	const char *tunables;
	ssize_t length;
	char **words = calloc(argc + 16, sizeof(*words));
	int count = 0;

	/* The runtime starts in no directory that has been removed; names in it mean nothing any more. */
	if (!getcwd(value, sizeof(value)) && errno == ENOENT && chdir("/"))
		die("cannot leave a directory that is gone: %s", strerror(errno));
	confine_descriptors();
	confine_signals();
	confine_environment();
	confine_first(verb, &argc, argv);
	if (!confine_has_threads())
		die("this user may have no more processes and threads\n"
		    "  hint: raise the limit (ulimit -u, LimitNPROC= in a unit), or end others of this user");
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length > 0)
		self[length] = '\0';
	else if (!realpath((const char *)getauxval(AT_EXECFN), self)) /* no /proc */
		die("cannot find my own file: %s", strerror(errno));
	read_index(self);
	find_cache(root, sizeof(root));
	snprintf(directory, sizeof(directory), "%s/%s", root, id);
	snprintf(script, sizeof(script), "%s/" SCRIPT, directory);

	/* For this program alone: it takes these out of its environment again before it starts others. */
	setenv("XDPSTEER_SELF", self, 1);
	setenv("XDPSTEER_UNPACKED", directory, 1);
	snprintf(value, sizeof(value), system_libraries ? "%s/runtime" : "%s/runtime:%s/lib", directory, directory);
	setenv("LD_LIBRARY_PATH", value, 1);
	tunables = getenv("GLIBC_TUNABLES");
	unsetenv("XDPSTEER_GLIBC_TUNABLES");
	if (tunables)
		setenv("XDPSTEER_GLIBC_TUNABLES", tunables, 1); /* what the program starts is to get that */
	snprintf(value, sizeof(value), tunables ? MALLOC ":%s" : MALLOC, tunables); /* of two, the last one counts */
	setenv("GLIBC_TUNABLES", value, 1);
	snprintf(value, sizeof(value), "%s/deno", directory);
	setenv("DENO_DIR", value, 1);
	setenv("DENO_NO_UPDATE_CHECK", "1", 1);
	confine_last(verb, directory, argc, argv);

	for (const char *const *word = (const char *const[]){ PROGRAM, "run", "--quiet", "-A", "--no-check", "--no-config", "--no-lock",
							      "--no-npm", "--no-remote", V8_FLAGS, script, NULL };
	     *word; word++)
		words[count++] = (char *)*word;
	for (int i = 1; i < argc; i++)
		words[count++] = argv[i];
	snprintf(value, sizeof(value), "%s/" PROGRAM, directory);
	execv(value, words);
	die("cannot start %s: %s%s", value, strerror(errno),
	    errno == ENOENT ? " (is this a glibc system?)" :
	    errno == EACCES ? " (is it mounted noexec? set XDPSTEER_CACHE_DIR)" :
			      "");
}
