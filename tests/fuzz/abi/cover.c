// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What code was run; see cover.h
 */
#include <fcntl.h>
#include <linux/kcov.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cover.h"

enum { WORDS = 64 << 10 };

static const char node[] = "/sys/kernel/debug/kcov";
static unsigned long *trace;
static unsigned long text;

bool cover_exists(void)
{
	return !access(node, R_OK | W_OK);
}

static unsigned long module_text(void)
{
	FILE *file = fopen("/sys/module/srlock/sections/.text", "r");
	char line[64] = "";

	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	return strtoul(line, NULL, 16);
}

void cover_begin(void)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return;
	text = module_text();
	if (ioctl(fd, KCOV_INIT_TRACE, WORDS))
		return;
	map = mmap(NULL, WORDS * sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		return;
	trace = map;
	cover_forget();
}

void cover_forget(void)
{
	if (trace)
		__atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
}

bool cover_note(struct shared *shared)
{
	unsigned long count, last = 0;
	bool new = false;

	if (!trace)
		return false;
	count = __atomic_load_n(&trace[0], __ATOMIC_RELAXED);
	for (unsigned long i = 1; i <= count && i < WORDS; i++) {
		unsigned long pc = trace[i] - text;
		unsigned long pair = (last * 31 ^ pc) * 0x9E3779B97F4A7C15UL >> 44;

		last = pc;
		if (pc < TEXT_BYTES)
			shared->pcs[pc] = true;
		if (!shared->signals[pair % SIGNAL_BITS]) {
			shared->signals[pair % SIGNAL_BITS] = true;
			new = true;
		}
	}
	cover_forget();
	return new;
}

unsigned int cover_count(const struct shared *shared)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < TEXT_BYTES; i++)
		count += shared->pcs[i];
	return count;
}
