// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * message.c - what the command says to people
 *
 * Complaints and reports go to standard error with the command's name in front;
 * hints follow indented.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "tool.h"

/**
 * make_printable() - put '?' for what could make a terminal do things
 * @text: changed in place
 *
 * A process chooses its command name freely.
 *
 * Return: @text.
 */
char *make_printable(char *text)
{
	size_t left = strlen(text), length;
	mbstate_t state = { 0 };
	char *at = text;
	wchar_t c;

	for (; left; at += length, left -= length) {
		length = mbrtowc(&c, at, left, &state);
		if (length < (size_t)-2 && iswprint((wint_t)c))
			continue;
		if (length >= (size_t)-2) {
			length = 1;
			state = (mbstate_t){ 0 };
		}
		memset(at, '?', length);
	}
	return text;
}

static void vsay(const char *before, const char *format, va_list arguments)
{
	/* One write a line, as others write to the same terminal. */
	char line[2048];
	int length;

	length = vsnprintf(line, sizeof(line), format, arguments);
	if (length >= 0)
		fprintf(stderr, "%s%s\n", before, make_printable(line));
}

/** say() - one line on standard error, after the command's name */
void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay("srlock: ", format, arguments);
	va_end(arguments);
}

/** hint() - one more line to what was said: what to do about it */
void hint(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay("        ", format, arguments);
	va_end(arguments);
}

/** fail() - say what is wrong; returns @status, to be returned in turn */
int fail(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay("srlock: ", format, arguments);
	va_end(arguments);
	return status;
}

/** bad_option() - getopt_long() has said what is wrong: show the usage of @verb */
int bad_option(const struct verb *verb)
{
	fprintf(stderr, "Usage: srlock %s %s\n", verb->name, verb->arguments);
	fprintf(stderr, "Try 'srlock %s --help'.\n", verb->name);
	return EX_USAGE;
}

/** usage_error() - say what is wrong with the arguments of @verb, and its usage */
int usage_error(const struct verb *verb, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay("srlock: ", format, arguments);
	va_end(arguments);
	return bad_option(verb);
}

/** verb_help() - the text of "srlock VERB --help" */
int verb_help(const struct verb *verb)
{
	printf("Usage: srlock %s %s\n%s.\n\n%s", verb->name, verb->arguments,
	       verb->summary, verb->options);
	printf("  -h, --help               this text\n\n"
	       "DRIVE is /dev/sr0, sr0, /dev/srlock0, srlock0 or any link to one of these.\n"
	       "See srlock(1).\n");
	return flush_output(EXIT_SUCCESS);
}

/**
 * flush_output() - make sure that standard output was really written
 * @status: the exit status if it was
 *
 * Return: @status, or EX_IOERR if something could not be written.
 */
int flush_output(int status)
{
	if (fflush(stdout) || ferror(stdout))
		return fail(EX_IOERR, "cannot write the output: %s", strerror(errno));
	return status;
}

/** need_memory() - @memory, or the end of the process if there is none */
void *need_memory(void *memory)
{
	if (!memory)
		exit(fail(EX_OSERR, "out of memory"));
	return memory;
}

/** format_text() - printf into fresh memory that the caller frees */
char *format_text(const char *format, ...)
{
	va_list arguments;
	char *text;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return need_memory(length < 0 ? NULL : text);
}
