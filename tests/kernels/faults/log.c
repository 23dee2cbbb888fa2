// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's log; see log.h
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "log.h"
#include "sites.h"
#include "tap.h"

#define OURS " [srlock]"

struct log_seen log_total;

static int log_file = -1;
static int console = -1;
/* A fault that is being reported. */
static bool in_report;
/* A warning has begun; it is one that is left out. */
static bool cut_here;
static bool in_tracing;
static bool has_site;

static bool write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ret = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ret;
}

/*
 * Warnings are written to the console here, as are the stacks of faults left out,
 * which are of the same level. What is worse the kernel prints itself, as it may be the
 * last thing.
 */
enum { LEVEL_WARNING = 4, SET_CONSOLE_LEVEL = 8, MILLION = 1000000 };

bool log_start(void)
{
	if (!write_to("/sys/module/printk/parameters/ignore_loglevel", "N") ||
	    klogctl(SET_CONSOLE_LEVEL, NULL, LEVEL_WARNING))
		return false;
	log_file = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	console = open("/dev/console", O_WRONLY | O_NOCTTY);
	return log_file >= 0 && console >= 0 && lseek(log_file, 0, SEEK_END) >= 0;
}

/* " srlock_file_open+0x49/0xc0 [srlock]" */
static void note_site(struct log_seen *seen, char *line)
{
	char *end = strchr(line, '/');

	if (line[0] != ' ' || line[1] == '?' || !end || !strstr(end, OURS))
		return;
	*end = '\0';
	if (has_site || !strncmp(line + 1, "srlock_fault_", strlen("srlock_fault_")))
		return;
	has_site = true;
	seen->ours++;
	snprintf(seen->site, sizeof(seen->site), "%s", line + 1);
	sites_reached(seen->site);
}

static void report_line(struct log_seen *seen, char *line)
{
	if (!strcmp(line, " </TASK>"))
		in_report = false;
	else if (!strncmp(line, "Workqueue: srlock ", strlen("Workqueue: srlock ")))
		seen->in_works++;
	else
		note_site(seen, line);
}

/* As the kernel itself does it. */
static void print(const char *record, const char *line)
{
	unsigned long long time_us;

	if (sscanf(record, "%*u,%*u,%llu", &time_us) != 1)
		time_us = 0;
	dprintf(console, "[%5llu.%06llu] %s\r\n", time_us / MILLION, time_us % MILLION, line);
}

/*
 * Tracing warns when it has no memory for the fields of the module's events, before
 * anything of the module has run. That warning is not about the module; all others are
 * passed on. Whether the line is part of it.
 */
static bool is_of_tracing(const char *record, const char *line)
{
	static const char * const first = "------------[ cut here ]------------";
	bool begins = cut_here;

	if (in_tracing) {
		in_tracing = strncmp(line, "---[ end trace", strlen("---[ end trace")) != 0;
		return true;
	}
	cut_here = !strcmp(line, first);
	if (cut_here)
		return true;
	if (!begins)
		return false;
	in_tracing = !strncmp(line, "WARNING: ", strlen("WARNING: ")) &&
		     strstr(line, " event_define_fields+");
	if (!in_tracing)
		print(record, first);
	return in_tracing;
}

/* "LEVEL,NUMBER,TIME,FLAGS;TEXT\n", then lines that do not concern us */
static void record(struct log_seen *seen, char *text)
{
	int level = atoi(text) & 7;
	char *line = strchr(text, ';');

	if (!line)
		return;
	line++;
	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "FAULT_INJECTION: ", strlen("FAULT_INJECTION: "))) {
		in_report = true;
		has_site = false;
		seen->faults++;
	} else if (in_report) {
		report_line(seen, line);
	} else if (level >= LEVEL_WARNING && !is_of_tracing(text, line)) {
		print(text, line);
	}
}

struct log_seen log_take(void)
{
	struct log_seen seen = { 0 };
	char text[2048];
	ssize_t length;

	for (;;) {
		length = read(log_file, text, sizeof(text) - 1);
		if (length < 0 && errno != EPIPE)
			break;
		if (length < 0) {
			tap_true("the log is read in time", false);
			continue;
		}
		text[length] = '\0';
		record(&seen, text);
	}
	log_total.faults += seen.faults;
	log_total.ours += seen.ours;
	log_total.in_works += seen.in_works;
	return seen;
}
