// SPDX-License-Identifier: GPL-2.0-or-later
/* The control socket: what can be said at it */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"

static bool parse_number(const char *text, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static void medium_path(const struct control *control, unsigned int number, char *path)
{
	snprintf(path, PATH_MAX, "%s/medium-%u", control->directory, number);
}

static void print_medium(const struct control *control, FILE *answer)
{
	const struct medium *medium = control->drive->medium;

	fprintf(answer, "medium=%s\n", medium ? medium->type->name : "none");
	if (!medium)
		return;
	fprintf(answer, "medium-state=%s\n", medium_state_name(medium));
	fprintf(answer, "medium-capacity=%u\n", medium_capacity(medium));
	fprintf(answer, "medium-sessions=%u\n", medium_sessions(medium));
	fprintf(answer, "medium-tracks=%u\n", medium->track_count);
	fprintf(answer, "medium-written=%llu\n", medium->sectors_written);
	if (medium->type->writable) {
		char path[PATH_MAX];

		medium_path(control, control->media, path);
		fprintf(answer, "medium-file=%s\n", path);
	}
}

static const char *do_status(struct control *control, char *arguments, FILE *answer)
{
	const struct drive *drive = control->drive;
	const struct queue *queue = control->queue;
	unsigned int waiting = 0;

	(void)arguments;
	for (const struct task *task = queue->head; task; task = task->next)
		waiting++;
	fprintf(answer, "tray=%s\n", drive->tray_open ? "open" : "closed");
	fprintf(answer, "prevented=%d\n", drive->prevented);
	fprintf(answer, "persistent-prevented=%d\n", drive->persistent_prevented);
	print_medium(control, answer);
	fprintf(answer, "profile=%04x\n", drive_profile(drive));
	fprintf(answer, "attentions=%u\n", drive->attention_count);
	fprintf(answer, "commands=%llu\n", queue->sequence);
	fprintf(answer, "in-flight=%u\n", waiting);
	fprintf(answer, "held=%s\n",
		queue_is_held(queue) ? drive_opcode_name(queue->head->cdb[0]) : "none");
	fprintf(answer, "faults=%u\n", control->faults->count);
	return NULL;
}

static const char *do_counts(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	for (unsigned int opcode = 0; opcode < 256; opcode++)
		if (control->queue->counts[opcode])
			fprintf(answer, "%02x %s %llu\n", opcode, drive_opcode_name((u8)opcode),
				control->queue->counts[opcode]);
	return NULL;
}

static const char *make_image(const char *path, struct medium **medium)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return strerror(errno);
	*medium = medium_new_image(fd);
	if (*medium)
		return NULL;
	close(fd);
	return "not a file with an image";
}

static const char *make_blank(struct control *control, const struct medium_type *type,
			      unsigned long sectors, struct medium **medium)
{
	char path[PATH_MAX];
	int fd;

	medium_path(control, control->media + 1, path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return strerror(errno);
	*medium = medium_new_blank(type, (u32)sectors, fd);
	if (!*medium) {
		close(fd);
		unlink(path);
		return "no such disc comes blank";
	}
	return NULL;
}

static void discard_file(struct control *control)
{
	char path[PATH_MAX];

	medium_path(control, control->media, path);
	unlink(path);
}

/* image PATH, or a kind and perhaps its size in sectors */
static const char *make_medium(struct control *control, char *arguments, struct medium **medium)
{
	char *kind = strtok(arguments, " ");
	char *more = kind ? strtok(NULL, " ") : NULL;
	const struct medium_type *type;
	unsigned long sectors = 0;

	if (!kind)
		return "insert what?";
	if (!strcmp(kind, "image"))
		return more ? make_image(more, medium) : "insert image takes a path";
	type = medium_type_by_name(kind);
	if (!type)
		return "unknown kind of disc";
	if (more && (!parse_number(more, &sectors) || !sectors || sectors > 0x7fffffff))
		return "the size is a number of sectors";
	return make_blank(control, type, sectors, medium);
}

static const char *do_insert(struct control *control, char *arguments, FILE *answer)
{
	struct medium *medium;
	const char *error;

	(void)answer;
	if (drive_is_locked(control->drive) && !control->drive->tray_open)
		return "medium removal is prevented";
	error = make_medium(control, arguments, &medium);
	if (error)
		return error;
	discard_file(control);
	control->media++;
	drive_insert(control->drive, medium);
	journal_event(control->journal, "inserted %s", medium->type->name);
	return NULL;
}

static const char *do_remove(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	(void)answer;
	if (drive_is_locked(control->drive) && !control->drive->tray_open)
		return "medium removal is prevented";
	discard_file(control);
	drive_insert(control->drive, NULL);
	journal_event(control->journal, "removed the disc");
	return NULL;
}

static const char *do_press(struct control *control, char *arguments, FILE *answer)
{
	bool moved = drive_press_eject(control->drive);

	(void)arguments;
	journal_event(control->journal, "eject button: tray %s",
		      !moved ? "stays" : control->drive->tray_open ? "opens" : "closes");
	fprintf(answer, "tray=%s\n", control->drive->tray_open ? "open" : "closed");
	return NULL;
}

static const char *do_reset(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	(void)answer;
	journal_event(control->journal, "reset by hand");
	drive_reset(control->drive, true);
	return NULL;
}

static const char *do_attention(struct control *control, char *arguments, FILE *answer)
{
	unsigned int asc, ascq;
	char rest;

	(void)answer;
	if (sscanf(arguments, "%2x/%2x%c", &asc, &ascq, &rest) != 2)
		return "attention takes ASC/ASCQ in hexadecimal";
	drive_raise_attention(control->drive, SENSE(0x6, asc, ascq));
	journal_event(control->journal, "unit attention %02x/%02x", asc, ascq);
	return NULL;
}

static const char *do_fault(struct control *control, char *arguments, FILE *answer)
{
	const char *error = faults_add(control->faults, arguments);

	(void)answer;
	if (!error)
		journal_event(control->journal, "fault %s", arguments);
	return error;
}

static const char *do_faults(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	faults_print(control->faults, answer);
	return NULL;
}

static const char *do_clear(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	(void)answer;
	faults_clear(control->faults);
	journal_event(control->journal, "faults cleared");
	return NULL;
}

static const char *do_release(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	(void)answer;
	if (!queue_is_held(control->queue))
		return "no command is held";
	queue_release(control->queue, control->journal->clock_us());
	return NULL;
}

static const char *do_set(struct control *control, char *arguments, FILE *answer)
{
	char *name = strtok(arguments, " ");
	char *value = name ? strtok(NULL, " ") : NULL;
	unsigned long number;

	(void)answer;
	if (!value || !parse_number(value, &number) || number > INT_MAX)
		return "set takes a name and a number of milliseconds";
	if (!strcmp(name, "operation"))
		control->drive->operation_ms = (unsigned int)number;
	else if (!strcmp(name, "spin-up"))
		control->drive->spin_up_ms = (unsigned int)number;
	else if (!strcmp(name, "format"))
		control->drive->format_ms = number;
	else
		return "there are operation, spin-up and format";
	return NULL;
}

static const char *do_mark(struct control *control, char *arguments, FILE *answer)
{
	(void)answer;
	journal_event(control->journal, "mark %s", arguments);
	return NULL;
}

static const char *do_quit(struct control *control, char *arguments, FILE *answer)
{
	(void)arguments;
	(void)answer;
	control->quit = true;
	return NULL;
}

static const struct verb {
	const char *name;
	const char *(*execute)(struct control *control, char *arguments, FILE *answer);
	bool takes_arguments;
} verbs[] = {
	{ "status", do_status, false },
	{ "counts", do_counts, false },
	{ "insert", do_insert, true },
	{ "remove", do_remove, false },
	{ "press", do_press, false },
	{ "reset", do_reset, false },
	{ "attention", do_attention, true },
	{ "fault", do_fault, true },
	{ "faults", do_faults, false },
	{ "clear", do_clear, false },
	{ "release", do_release, false },
	{ "set", do_set, true },
	{ "mark", do_mark, true },
	{ "quit", do_quit, false },
};

/**
 * control_execute() - do what a line says
 * @control: the drive and all
 * @line: verb and arguments; it is taken apart
 * @answer: where to print what was asked for
 * Return: NULL, or what is wrong
 */
const char *control_execute(struct control *control, char *line, FILE *answer)
{
	size_t length = strcspn(line, " ");
	char *arguments = line + length + strspn(line + length, " ");

	line[length] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, line))
			continue;
		if (*arguments && !verbs[i].takes_arguments)
			return "too many words";
		control->drive->now_ms = control->journal->clock_us() / 1000;
		return verbs[i].execute(control, arguments, answer);
	}
	return "unknown command";
}
