// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kmemleak finds; see leaks.h
 *
 * One kind of object is not the module's: when __class_register() of 6.1 cannot register
 * a class it frees all but the class's name, and nobody else could. Only that object,
 * allocated in that way, is let pass, and no more of them than registrations failed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "leaks.h"
#include "tap.h"

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

/* An object has to be 5 seconds old, and to be missed twice. */
enum { OLD_S = 6, LINE_SIZE = 256, OF_CLASS_NAME = 7 };

/* From the innermost on. */
static const char * const of_class_name[OF_CLASS_NAME] = {
	"__kmalloc_node_track_caller", "kstrdup", "kstrdup_const", "kvasprintf_const",
	"kobject_set_name_vargs", "kobject_set_name", "__class_register",
};

/* What is read of one object. */
struct object {
	bool right_size;
	bool right_text;
	int frames;
	/* so many of the frames are those of a class's name */
	int right_frames;
};

struct found {
	int all;
	int known;
};

static bool tell_kmemleak(const char *text)
{
	int fd = open(KMEMLEAK, O_WRONLY);
	bool ret = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ret;
}

/* "    [<0123456789abcdef>] kstrdup+0x36/0x70" */
static void frame(struct object *object, const char *line)
{
	const char *name = strchr(line, ']');
	size_t length;

	if (!name || object->frames >= OF_CLASS_NAME)
		return;
	name += strlen("] ");
	length = strcspn(name, "+");
	/* What is further in depends on what the compiler made of the allocator. */
	if (!object->frames && strncmp(of_class_name[0], name, length))
		return;
	object->right_frames += strlen(of_class_name[object->frames]) == length &&
				!strncmp(of_class_name[object->frames], name, length);
	object->frames++;
}

static bool is_class_name(const struct object *object)
{
	return object->right_size && object->right_text &&
	       object->right_frames == OF_CLASS_NAME;
}

/* Whether another object begins. */
static bool take(struct object *object, const char *line)
{
	static const char begin[] = "unreferenced object ";
	static const char name[] = "    73 72 6c 6f 63 6b 00 ";

	if (!strncmp(line, begin, strlen(begin))) {
		*object = (struct object) { .right_size = strstr(line, "(size 8):") };
		return true;
	}
	if (!strncmp(line, name, strlen(name)))
		object->right_text = true;
	else if (!strncmp(line, "    [<", strlen("    [<")))
		frame(object, line);
	return false;
}

/* Everything it has is shown, too. */
static struct found read_all(void)
{
	struct found found = { 0 };
	struct object object = { 0 }, last;
	FILE *file = fopen(KMEMLEAK, "r");
	char line[LINE_SIZE];

	while (file && fgets(line, sizeof(line), file)) {
		printf("    # %s", line);
		last = object;
		if (!take(&object, line))
			continue;
		found.all++;
		found.known += is_class_name(&last);
	}
	found.known += is_class_name(&object);
	if (file)
		fclose(file);
	return found;
}

void leaks_judge(const char *when, unsigned int class_failed)
{
	struct found found;
	char text[96];
	bool ret;

	ret = tell_kmemleak("scan");
	sleep(OLD_S);
	ret = tell_kmemleak("scan") && ret;
	found = read_all();
	printf("    # %s: %d objects left, %d of them names of classes; %u were not registered\n",
	       when, found.all, found.known, class_failed);
	snprintf(text, sizeof(text), "%s: leaks are looked for", when);
	tap_true(text, ret);
	snprintf(text, sizeof(text), "%s: nothing leaks", when);
	tap_true(text, found.all == found.known && found.known <= (int)class_failed);
	/* What was judged is not found again. */
	tell_kmemleak("clear");
}
