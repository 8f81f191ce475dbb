/* SPDX-License-Identifier: Apache-2.0 */
/* The files behind the launcher, and what was unpacked of them. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>

struct packed {
	unsigned int mode;
	unsigned long long offset, packed_size, size, hash;
	char path[128];
};

/*
 * Checks that all files in a directory are what was unpacked. By their hashes, the first time since the system runs; as
 * long as the stamp stays the same they are not read again, which would take longer than all else that is done at a
 * start.
 */
bool files_are_whole(int directory, const struct packed *files, unsigned int count);

/* Unpacks one file of the image into a directory. False and errno where that fails: EBADMSG for a damaged one. */
bool file_unpack(int directory, const struct packed *file, const unsigned char *image);

#endif
