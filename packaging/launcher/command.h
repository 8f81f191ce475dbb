/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher reads of the command line, before the program does. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>

#include "confine.h"

/* What the command keeps. `version --security` shows what `run` has, so it has the same. */
const struct verb *command_verb(int count, char **words);

/* The value of an option of the command; NULL where it has none. Its words are taken out if `take`. */
const char *command_option(int *count, char **words, const char *name, bool take);

#endif
