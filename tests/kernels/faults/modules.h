/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Modules that come and go
 */
#ifndef MODULES_H
#define MODULES_H

#include <stdbool.h>
#include <stddef.h>

struct module_file {
	const char *name;
	void *image;
	size_t size;
};

bool module_read(struct module_file *module, const char *path, const char *name);
int module_load(const struct module_file *module);
int module_unload(const char *name);
bool module_is_there(const char *name);

/* Addresses; 0 if they are not to be seen. */
struct module_place {
	/* what is read only */
	unsigned long constants;
	/* its struct module */
	unsigned long module;
};

struct module_place module_place(const char *name);
/* For the next time that it is loaded; what is read only stays where it is. */
bool module_align_struct(struct module_file *module, int alignment);

#endif
