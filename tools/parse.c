// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * parse.c - words from the command line turned into values
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <linux/srlock.h>

#include "tool.h"

/* A year: more than anybody waits for a drive, and far from any overflow. */
#define MOST_SECONDS	(366.0 * 24 * 60 * 60)

/**
 * parse_seconds() - a time like 10 or 2.5
 * @text: what was typed
 * @ns: the same in nanoseconds
 */
bool parse_seconds(const char *text, uint64_t *ns)
{
	double seconds;
	char *end;

	/* strtod takes more than anybody means: hex, inf, nan, signs, blanks. */
	if (!*text || text[strspn(text, "0123456789.")])
		return false;
	seconds = strtod(text, &end);
	if (end == text || *end || seconds > MOST_SECONDS)
		return false;
	*ns = (uint64_t)llround(seconds * 1e9);
	return true;
}

/** parse_status() - an exit status, 0 to 255 */
bool parse_status(const char *text, int *status)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	value = strtoul(text, &end, 10);
	if (*end || value > 255)
		return false;
	*status = (int)value;
	return true;
}

static bool client_character(char c)
{
	/* Not isalnum(): the alphabet is the module's, not the locale's. */
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || (c && strchr(" .,:;_-", c));
}

/** client_name_valid() - would the module take this client name? */
bool client_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length >= SRLOCK_CLIENT_SIZE)
		return false;
	for (; *name; name++)
		if (!client_character(*name))
			return false;
	return true;
}

/**
 * client_name_from_command() - the client name for a command
 * @command: its first word, a path or a plain name
 * @name: where to put the name
 * @size: room at @name, at least 2
 *
 * The last part of the path, cut to fit, with '_' in place of every character
 * that a client name may not have.
 */
void client_name_from_command(const char *command, char *name, unsigned int size)
{
	const char *slash = strrchr(command, '/');
	const char *from = slash ? slash + 1 : command;
	unsigned int i;

	if (!*from)
		from = "srlock";
	for (i = 0; from[i] && i < size - 1; i++)
		name[i] = client_character(from[i]) ? from[i] : '_';
	name[i] = '\0';
}
