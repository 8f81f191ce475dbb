// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tree.h"

#define STAMP "checked"
#define TICK_MS 20 /* at least two of any clock */

/*
 * The hash of what is in a file. Read, not mapped: the page tables of 96 MB take longer to make than the bytes to copy.
 */
static unsigned long long hash_of(int fd)
{
	static unsigned char buffer[1 << 18]; /* stays in a cache */
	XXH64_state_t state;
	ssize_t length;

	XXH64_reset(&state, 0);
	while ((length = read(fd, buffer, sizeof(buffer))) > 0)
		XXH64_update(&state, buffer, length);
	return length == 0 ? XXH64_digest(&state) : 0;
}

/* Opens a file in the cache if it has the owner, mode and size of what was unpacked; else -1. */
static int open_unpacked(int directory, const struct packed *file, struct stat *status)
{
	int fd = tree_open(directory, file->path);

	if (fd < 0)
		return -1;
	if (!fstat(fd, status) && S_ISREG(status->st_mode) && status->st_uid == geteuid() &&
	    (status->st_mode & 07777) == file->mode && (unsigned long long)status->st_size == file->size)
		return fd;
	close(fd);
	return -1;
}

static bool is_whole(int directory, const struct packed *file)
{
	struct stat status;
	int fd = open_unpacked(directory, file, &status);
	bool whole;

	if (fd < 0)
		return false;
	whole = hash_of(fd) == file->hash;
	close(fd);
	return whole;
}

static long long milliseconds(const struct timespec *time)
{
	return time->tv_sec * 1000LL + time->tv_nsec / 1000000;
}

/*
 * A hash of what would be another if any file had been changed or replaced: which inode it is, and its times. And of
 * which run of the system this is, since a power failure can take contents and leave times. 0 where all that does not
 * tell, or not yet.
 */
static unsigned long long stamp_of(int directory, const struct packed *files, unsigned int count)
{
	struct { unsigned char run[40]; dev_t device; ino_t inode; struct timespec modified, changed; } facts;
	int run = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	unsigned long long stamp = 0;
	struct timespec now;
	ssize_t length;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	memset(&facts, 0, sizeof(facts));
	length = run < 0 ? 0 : read(run, facts.run, sizeof(facts.run));
	if (run >= 0)
		close(run);
	if (length <= 0)
		return 0;
	for (unsigned int i = 0; i < count; i++) {
		struct stat status;
		int fd = open_unpacked(directory, &files[i], &status);

		if (fd < 0)
			return 0;
		close(fd);
		/* Times are as exact as the clock's tick: of a file that new, another change would not be seen. */
		if (milliseconds(&status.st_ctim) > milliseconds(&now) - TICK_MS)
			return 0;
		facts.device = status.st_dev;
		facts.inode = status.st_ino;
		facts.modified = status.st_mtim;
		facts.changed = status.st_ctim;
		stamp = XXH64(&facts, sizeof(facts), stamp);
	}
	return stamp;
}

bool files_are_whole(int directory, const struct packed *files, unsigned int count)
{
	unsigned long long stamp = stamp_of(directory, files, count), checked = 0;
	int fd = openat(directory, STAMP, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool whole = fd >= 0 && stamp != 0 && read(fd, &checked, sizeof(checked)) == sizeof(checked) &&
			     checked == stamp;

	if (!whole) {
		whole = true;
		for (unsigned int i = 0; whole && i < count; i++)
			whole = is_whole(directory, &files[i]);
		if (whole && fd >= 0 && pwrite(fd, &stamp, sizeof(stamp), 0) != sizeof(stamp))
			ftruncate(fd, 0); /* hashed again the next time */
	}
	if (fd >= 0)
		close(fd);
	return whole;
}

bool file_unpack(int directory, const struct packed *file, const unsigned char *image)
{
	int fd = tree_create(directory, file->path, file->mode);
	void *bytes;
	bool done = false;
	int error;

	if (fd < 0)
		return false;
	/* Written through a mapping: where the disk is full, say so here and not by SIGBUS. */
	errno = posix_fallocate(fd, 0, file->size); /* which it does not set itself */
	if (errno == 0) {
		bytes = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (bytes != MAP_FAILED) {
			size_t size = ZSTD_decompress(bytes, file->size, image + file->offset, file->packed_size);

			done = !ZSTD_isError(size) && size == file->size && XXH64(bytes, file->size, 0) == file->hash;
			munmap(bytes, file->size);
			if (!done)
				errno = EBADMSG;
		}
	}
	error = errno;
	close(fd);
	errno = error;
	return done;
}
