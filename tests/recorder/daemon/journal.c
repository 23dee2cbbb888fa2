// SPDX-License-Identifier: GPL-2.0-or-later
/* The journal: writing its lines */
#include <stdarg.h>

#include "journal.h"
#include "queue.h"

static void print_stamp(struct journal *journal)
{
	u64 now = journal->clock_us();

	fprintf(journal->file, "%llu.%06llu ", now / 1000000, now % 1000000);
}

static void print_cdb(struct journal *journal, const struct task *task)
{
	fprintf(journal->file, "%llu %s cdb=", task->sequence, drive_opcode_name(task->cdb[0]));
	for (size_t i = 0; i < task->command.cdb_length; i++)
		fprintf(journal->file, "%02x", task->cdb[i]);
}

static const char *fault_word(const struct task *task)
{
	static const char * const words[] = {
		[FAULT_NONE] = "-", [FAULT_DELAY] = "delay", [FAULT_STATUS] = "status",
		[FAULT_SENSE] = "sense", [FAULT_HANG] = "hang", [FAULT_DEAF] = "deaf",
	};

	return words[task->fault.action];
}

void journal_command(struct journal *journal, const struct task *task)
{
	const struct command *command = &task->command;
	u64 took = journal->clock_us() - task->arrived_us;

	print_stamp(journal);
	fputs("command ", journal->file);
	print_cdb(journal, task);
	fprintf(journal->file, " length=%zu returned=%zu status=%02x", command->length,
		command->returned, command->status);
	if (command->status == STATUS_CHECK_CONDITION)
		fprintf(journal->file, " sense=%x/%02x/%02x", command->sense[2] & 0x0f,
			command->sense[12], command->sense[13]);
	else
		fputs(" sense=-", journal->file);
	fprintf(journal->file, " took=%llu.%06llu fault=%s\n", took / 1000000, took % 1000000,
		fault_word(task));
}

void journal_held(struct journal *journal, const struct task *task)
{
	print_stamp(journal);
	fputs("held ", journal->file);
	print_cdb(journal, task);
	fprintf(journal->file, " fault=%s\n", fault_word(task));
}

void journal_event(struct journal *journal, const char *format, ...)
{
	va_list arguments;

	print_stamp(journal);
	fputs("event ", journal->file);
	va_start(arguments, format);
	vfprintf(journal->file, format, arguments);
	va_end(arguments);
	fputc('\n', journal->file);
}
