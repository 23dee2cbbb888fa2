// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's own count of its objects, before and after
 *
 * A mistake that loses one object each time shows as a cache that has grown by about
 * as many objects as there were times.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "torture.h"

enum { MAX_CACHES = 512 };

static struct {
	char name[48];
	long before;
} caches[MAX_CACHES];

static int count;

/* Objects wait for others' grace periods, and caches keep free ones for each CPU. */
static void settle(void)
{
	DIR *folder = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[300];

	write_text("/proc/sys/vm/drop_caches", "3");
	sleep(1);
	while (folder && (entry = readdir(folder))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		write_text(path, "1");
	}
	if (folder)
		closedir(folder);
}

typedef void note_fn(const char *name, long objects);

static void read_caches(note_fn *note)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[256];
	char name[48];
	long objects;

	while (file && fgets(line, sizeof(line), file))
		if (line[0] != '#' && sscanf(line, "%47s %ld", name, &objects) == 2)
			note(name, objects);
	if (file)
		fclose(file);
}

static void note_before(const char *name, long objects)
{
	/* the stacks of dead processes are unmapped in batches, much later */
	if (count == MAX_CACHES || !strcmp(name, "slabinfo") || !strcmp(name, "vmap_area"))
		return;
	snprintf(caches[count].name, sizeof(caches[count].name), "%s", name);
	caches[count++].before = objects;
}

void slabs_before(void)
{
	count = 0;
	settle();
	read_caches(note_before);
}

static long allowed;
static int grown;

static void note_after(const char *name, long objects)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(caches[i].name, name) || objects - caches[i].before <= allowed)
			continue;
		printf("    # %s: %ld objects before, %ld after\n", name, caches[i].before,
		       objects);
		grown++;
	}
}

int slabs_grown(long objects)
{
	allowed = objects;
	grown = count ? 0 : -1;
	settle();
	read_caches(note_after);
	return grown;
}
