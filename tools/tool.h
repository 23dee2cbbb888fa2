/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tool.h - what every part of the srlock command shares
 *
 * Exit statuses, messages and the verbs. A function that returns an exit status
 * has already said on standard error why it is not 0.
 */
#ifndef SRLOCK_TOOL_H
#define SRLOCK_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sysexits.h>

/**
 * enum tool_exit - exit statuses beside those of sysexits.h
 * @EXIT_CONFLICT: the drive is busy; run and hold can be told another one (-E)
 * @EXIT_CANNOT_RUN: the command was found but could not be run
 * @EXIT_NOT_FOUND: the command was not found
 * @EXIT_BY_SIGNAL: added to the number of the signal that ended the command
 */
enum tool_exit {
	EXIT_CONFLICT = 1,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_BY_SIGNAL = 128,
};

/**
 * struct verb - one thing that the command can do
 * @name: as typed
 * @arguments: for the usage line
 * @summary: one line for the list of verbs
 * @options: its options, one a line, for --help
 * @run: does it; argv[0] is the verb; returns the exit status
 */
struct verb {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *options;
	int (*run)(const struct verb *verb, int argc, char **argv);
};

extern const struct verb verb_list, verb_status, verb_run, verb_hold;
extern const struct verb verb_wait, verb_watch, verb_break;

/* message.c */
[[gnu::format(printf, 1, 2)]]
void say(const char *format, ...);
[[gnu::format(printf, 1, 2)]]
void hint(const char *format, ...);
[[gnu::format(printf, 2, 3)]]
int fail(int status, const char *format, ...);
int bad_option(const struct verb *verb);
[[gnu::format(printf, 2, 3)]]
int usage_error(const struct verb *verb, const char *format, ...);
int verb_help(const struct verb *verb);
int flush_output(int status);
void *need_memory(void *memory);
char *make_printable(char *text);
[[gnu::format(printf, 1, 2)]]
char *format_text(const char *format, ...);

/* utf8.c */
char *make_utf8(char *text);

/* parse.c */
bool parse_seconds(const char *text, uint64_t *ns);
bool parse_status(const char *text, int *status);
bool client_name_valid(const char *name);
void client_name_from_command(const char *command, char *name, unsigned int size);

/* clock.c */
uint64_t monotonic_ns(void);
uint64_t deadline_after(uint64_t ns);
int milliseconds_to(uint64_t deadline);
char *format_span(uint64_t ns);
char *format_moment(uint64_t monotonic);

#endif
