// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool tree_is_private(int directory)
{
	struct stat status;

	if (fstat(directory, &status))
		return false;
	if (status.st_uid == geteuid() && (status.st_mode & 077) == 0)
		return true;
	errno = EPERM;
	return false;
}

int tree_open_private(const char *path)
{
	char parent[PATH_MAX];
	struct statvfs mount;
	int fd, error = 0;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = '\0';
		if (mkdir(parent, 0755) && errno != EEXIST)
			error = errno;
	}
	if (mkdir(path, 0700) && errno != EEXIST && !error)
		error = errno;
	fd = open(path, OPEN_DIRECTORY);
	if (fd < 0) {
		if (errno == ENOENT && error)
			errno = error; /* why it is not there */
		return -1;
	}
	/* A service manager makes the directory it gives us readable for others. */
	if (!tree_is_private(fd) && (fchmod(fd, 0700) || !tree_is_private(fd)))
		goto refuse;
	if (!fstatvfs(fd, &mount) && (mount.f_flag & ST_NOEXEC)) {
		errno = ENOEXEC;
		goto refuse;
	}
	return fd;
refuse:
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Opens the folder of "folder/name", or the directory itself, and points to the name. */
static int open_folder(int directory, const char *path, const char **name, bool create)
{
	const char *slash = strchr(path, '/');
	char folder[NAME_MAX + 1];

	*name = path;
	if (!slash)
		return fcntl(directory, F_DUPFD_CLOEXEC, 0);
	*name = slash + 1;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	if (create && mkdirat(directory, folder, 0700) && errno != EEXIST)
		return -1;
	return openat(directory, folder, OPEN_DIRECTORY);
}

int tree_open(int directory, const char *path)
{
	const char *name;
	int folder = open_folder(directory, path, &name, false), fd;

	if (folder < 0)
		return -1;
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	close(folder);
	return fd;
}

int tree_create(int directory, const char *path, unsigned int mode)
{
	const char *name;
	int folder = open_folder(directory, path, &name, true), fd;

	if (folder < 0)
		return -1;
	fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd >= 0)
		fchmod(fd, mode); /* whatever the umask is */
	close(folder);
	return fd;
}

bool tree_next(int directory, void **entries, char *name, size_t size)
{
	DIR *list = *entries;
	struct dirent *entry;

	if (!list) {
		int fd = openat(directory, ".", OPEN_DIRECTORY);

		*entries = list = fd < 0 ? NULL : fdopendir(fd);
		if (!list)
			return false;
	}
	do
		entry = readdir(list);
	while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
	if (!entry) {
		closedir(list);
		return false;
	}
	snprintf(name, size, "%s", entry->d_name);
	return true;
}

void tree_remove(int directory, const char *name)
{
	int inside = openat(directory, name, OPEN_DIRECTORY);
	char entry[NAME_MAX + 1];
	void *entries = NULL;

	if (inside >= 0) {
		while (tree_next(inside, &entries, entry, sizeof(entry)))
			if (unlinkat(inside, entry, 0) && errno == EISDIR)
				tree_remove(inside, entry);
		close(inside);
	}
	unlinkat(directory, name, AT_REMOVEDIR);
}
