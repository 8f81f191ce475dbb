// SPDX-License-Identifier: Apache-2.0
/*
 * Landlock: where files may be written. Reading is left to the owners of files.
 *
 * The places that a configuration names (the control socket, captures) are not known yet, and change while it runs. So
 * this takes away what is never one of them: the system's own directories, its settings in /proc and /sys, its devices.
 */
#define _GNU_SOURCE
#include "confine.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the second and third version of Landlock: renames from one directory to another, and truncation. */
#define ACCESS_REFER (1ULL << 13)
#define ACCESS_TRUNCATE (1ULL << 14)

#define WRITES                                                                                                         \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |              \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK)
/* Nothing of ours makes these, so they are granted nowhere. */
#define NEVER                                                                                                          \
	(LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                 \
	 LANDLOCK_ACCESS_FS_MAKE_SYM)

/* Directories of the root in which nothing of ours is ever written. All others may hold captures. */
static const char *const system_directories[] = {
	"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "sbin", "sys", "usr",
};

static const char *const devices[] = { "/dev/null", "/dev/full", "/dev/tty", "/dev/ptmx" };
static const char *const device_directories[] = { "/dev/pts", "/dev/shm" };

static void allow(int ruleset, const char *path, unsigned long long access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return; /* what is not there need not be written */
	syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

static bool is_of_system(const char *name)
{
	for (unsigned int i = 0; i < sizeof(system_directories) / sizeof(*system_directories); i++)
		if (!strcmp(name, system_directories[i]))
			return true;
	return false;
}

/* The directory of the configuration, for --save; not where that would be a whole system directory, or everything. */
static void allow_beside(int ruleset, const char *config, unsigned long long access)
{
	char path[PATH_MAX], *slash;

	if (!realpath(config, path) || !(slash = strrchr(path, '/')) || slash == path)
		return;
	*slash = '\0';
	if (strchr(path + 1, '/'))
		allow(ruleset, path, access);
}

static void allow_data(int ruleset, unsigned long long access)
{
	DIR *root = opendir("/");
	struct dirent *entry;
	char path[NAME_MAX + 2];

	while (root && (entry = readdir(root))) {
		/* A link there would lead to a directory that has a name of its own, and the link's would be judged. */
		if (*entry->d_name == '.' || is_of_system(entry->d_name) || entry->d_type != DT_DIR)
			continue;
		snprintf(path, sizeof(path), "/%s", entry->d_name);
		allow(ruleset, path, access);
	}
	if (root)
		closedir(root);
}

void confine_writing(const struct verb *verb, const char *cache, const char *config)
{
	struct landlock_ruleset_attr attributes = { .handled_access_fs = WRITES | NEVER };
	int version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), ruleset;
	unsigned long long access = WRITES;

	if (verb->writing == ANYTHING || version < 1)
		return;
	if (version >= 2)
		access |= ACCESS_REFER;
	if (version >= 3)
		access |= ACCESS_TRUNCATE;
	attributes.handled_access_fs |= access;
	ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (ruleset < 0)
		return;
	for (unsigned int i = 0; i < sizeof(devices) / sizeof(*devices); i++)
		allow(ruleset, devices[i], access & (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE));
	for (unsigned int i = 0; i < sizeof(device_directories) / sizeof(*device_directories); i++)
		allow(ruleset, device_directories[i], access);
	allow(ruleset, cache, access);
	if (verb->writing == DATA) {
		allow_data(ruleset, access);
		if (config)
			allow_beside(ruleset, config, access);
	}
	syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
}
