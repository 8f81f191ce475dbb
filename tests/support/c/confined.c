/*
 * confined VERB CACHE CONFIG PROGRAM [ARGS...]: becomes a program as the launcher becomes the product, with what the
 * command VERB keeps. Its own parts are the launcher's.
 */
#include "../../../packaging/launcher/calls.c"
#include "../../../packaging/launcher/confine.c"
#include "../../../packaging/launcher/writing.c"

int main(int argc, char **argv)
{
	const struct verb *verb = verb_of(argv[1]);
	const char *failure;

	if (argc < 5)
		return 2;
	failure = confine_process(verb, NULL);
	if (failure) {
		fprintf(stderr, "%s\n", failure);
		return 1;
	}
	confine_writing(verb, argv[2], argv[3]);
	confine_calls(verb);
	execv(argv[4], argv + 4);
	perror(argv[4]);
	return 1;
}
