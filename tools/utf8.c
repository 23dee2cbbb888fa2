// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * utf8.c - text for JSON, which has to be UTF-8 whatever the locale is
 *
 * A process chooses its name, of any bytes, and the kernel cuts it anywhere.
 */
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/**
 * make_utf8() - put a question mark in place of each byte that is not of valid UTF-8
 * @text: changed in place; may be NULL
 *
 * Return: @text.
 */
char *make_utf8(char *text)
{
	size_t left, space;
	char *from, *copy, *to;
	iconv_t check;

	if (!text)
		return NULL;
	check = iconv_open("UTF-8", "UTF-8");
	if (check == (iconv_t)-1)
		exit(fail(EX_OSERR, "cannot convert text"));
	from = text;
	left = strlen(text);
	space = left;
	copy = need_memory(malloc(left + 1));
	to = copy;
	/* It stops before the first byte that is wrong. */
	while (left && iconv(check, &from, &left, &to, &space) == (size_t)-1) {
		*to++ = '?';
		space--;
		from++;
		left--;
	}
	iconv_close(check);
	*to = '\0';
	strcpy(text, copy);
	free(copy);
	return text;
}
