// SPDX-License-Identifier: Apache-2.0
#include "command.h"

#include <string.h>

const char *command_option(int *count, char **words, const char *name, bool take)
{
	size_t length = strlen(name);

	for (int i = 2; i < *count; i++) {
		bool apart = !strcmp(words[i], name);
		const char *value = apart ? words[i + 1] : words[i] + length + 1;
		int used = apart ? 2 : 1;

		if (!apart && (strncmp(words[i], name, length) || words[i][length] != '='))
			continue;
		if (!value)
			return NULL; /* the program says what is missing */
		if (take) {
			memmove(words + i, words + i + used, (*count - i - used + 1) * sizeof(*words));
			*count -= used;
		}
		return value;
	}
	return NULL;
}

static bool has_word(int count, char **words, const char *word)
{
	for (int i = 2; i < count; i++)
		if (!strcmp(words[i], word))
			return true;
	return false;
}

const struct verb *command_verb(int count, char **words)
{
	bool shows = count > 1 && !strcmp(words[1], "version") && has_word(count, words, "--security");

	return verb_of(shows ? "run" : words[1]);
}
