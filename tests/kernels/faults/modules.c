// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Modules that come and go; see modules.h
 */
#include <linux/elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "modules.h"

enum { PATH_SIZE = 160, POLLS = 100, POLL_US = 50000 };

#define STRUCT_SECTION ".gnu.linkonce.this_module"

bool module_read(struct module_file *module, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY);
	struct stat status;
	bool ret;

	if (fd < 0 || fstat(fd, &status))
		return false;
	module->name = name;
	module->size = status.st_size;
	module->image = malloc(module->size);
	ret = module->image &&
	      read(fd, module->image, module->size) == (ssize_t)module->size;
	close(fd);
	return ret;
}

int module_load(const struct module_file *module)
{
	return syscall(__NR_init_module, module->image, module->size, "") ? -errno : 0;
}

int module_unload(const char *name)
{
	int ret = -EAGAIN;

	/* udev is not there, but a file may be on its last way */
	for (int i = 0; i < POLLS && ret == -EAGAIN; i++) {
		ret = syscall(__NR_delete_module, name, O_NONBLOCK) ? -errno : 0;
		if (ret == -EAGAIN || ret == -EBUSY)
			usleep(POLL_US);
	}
	return ret;
}

bool module_is_there(const char *name)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	return !access(path, F_OK);
}

static unsigned long section(const char *name, const char *section)
{
	char path[PATH_SIZE], line[32];
	unsigned long address = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/%s/sections/%s", name, section);
	file = fopen(path, "r");
	if (file && fgets(line, sizeof(line), file))
		address = strtoul(line, NULL, 16);
	if (file)
		fclose(file);
	return address;
}

struct module_place module_place(const char *name)
{
	return (struct module_place) {
		.constants = section(name, ".rodata"),
		.module = section(name, STRUCT_SECTION),
	};
}

bool module_align_struct(struct module_file *module, int alignment)
{
	char *image = module->image;
	const struct elf64_hdr *header = module->image;
	struct elf64_shdr *sections = (struct elf64_shdr *)(image + header->e_shoff);
	const char *names = image + sections[header->e_shstrndx].sh_offset;

	for (int i = 0; i < header->e_shnum; i++) {
		if (strcmp(names + sections[i].sh_name, STRUCT_SECTION))
			continue;
		sections[i].sh_addralign = alignment;
		return true;
	}
	return false;
}
