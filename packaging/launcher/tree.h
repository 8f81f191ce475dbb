/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and files that belong to the caller alone, reached without following a link. */
#ifndef TREE_H
#define TREE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Opens a directory, made if missing (its parent too), of the caller's own and closed to others. -1 and errno
 * otherwise.
 */
int tree_open_private(const char *path);

/* True when a directory is the caller's and nobody else can look into it. */
bool tree_is_private(int directory);

/* Opens "name" or "folder/name" for reading; no part of it may be a link. */
int tree_open(int directory, const char *path);

/* Makes "name" or "folder/name", which must not exist, for reading and writing. */
int tree_create(int directory, const char *path, unsigned int mode);

/* Removes a directory with all that is in it. What is not there is removed already. */
void tree_remove(int directory, const char *name);

/* The next name in a directory; start with *entries NULL. False at the end, which frees it. */
bool tree_next(int directory, void **entries, char *name, size_t size);

#endif
