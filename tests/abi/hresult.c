// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * srlock_hresult(), for every command and every errno that the interface has. The numbers are
 * those of [MS-ERREF] 2.1 and of imapi2error.h. Compiled as C and as C++; speaks TAP.
 */
#include <stddef.h>
#include <stdio.h>

#include <linux/srlock.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define S_OK				0x00000000U
#define E_FAIL				0x80004005U
#define E_OUTOFMEMORY			0x8007000EU
#define E_POINTER			0x80004003U
#define E_ACCESSDENIED			0x80070005U
#define E_INVALIDARG			0x80070057U
#define INVALID_HANDLE			0x80070006U
#define DEV_NOT_EXIST			0x80070037U
#define COMMAND_TIMEOUT			0xC0AA020DU
#define RECORDER_LOCKED			0xC0AA0210U
#define CLIENT_NAME_IS_NOT_VALID	0xC0AA0211U

static const struct {
	unsigned long number;
	const char *name;
} commands[] = {
	{ SRLOCK_IOC_ACQUIRE, "ACQUIRE" },
	{ SRLOCK_IOC_RELEASE, "RELEASE" },
	{ SRLOCK_IOC_GET_INFO, "GET_INFO" },
	{ SRLOCK_IOC_BREAK, "BREAK" },
};

/* One column for each of the commands above. */
static const struct {
	int error;
	const char *name;
	unsigned int expected[COUNT(commands)];
} rows[] = {
	{ 0, "success", { S_OK, S_OK, S_OK, S_OK } },
	{ EIO, "EIO", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ ENOMEM, "ENOMEM", { E_OUTOFMEMORY, E_OUTOFMEMORY, E_OUTOFMEMORY, E_OUTOFMEMORY } },
	{ ETIMEDOUT, "ETIMEDOUT",
	  { COMMAND_TIMEOUT, COMMAND_TIMEOUT, COMMAND_TIMEOUT, COMMAND_TIMEOUT } },
	{ EBADF, "EBADF", { INVALID_HANDLE, INVALID_HANDLE, INVALID_HANDLE, INVALID_HANDLE } },
	{ EPERM, "EPERM", { E_ACCESSDENIED, INVALID_HANDLE, E_ACCESSDENIED, E_ACCESSDENIED } },
	{ ENODEV, "ENODEV", { DEV_NOT_EXIST, DEV_NOT_EXIST, DEV_NOT_EXIST, DEV_NOT_EXIST } },
	{ EBUSY, "EBUSY", { RECORDER_LOCKED, RECORDER_LOCKED, RECORDER_LOCKED, RECORDER_LOCKED } },
	{ EINVAL, "EINVAL",
	  { CLIENT_NAME_IS_NOT_VALID, E_INVALIDARG, E_INVALIDARG, E_INVALIDARG } },
	{ EFAULT, "EFAULT", { E_POINTER, E_POINTER, E_POINTER, E_POINTER } },
	{ EOWNERDEAD, "EOWNERDEAD", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ EOPNOTSUPP, "EOPNOTSUPP", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ EINTR, "EINTR", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ E2BIG, "E2BIG", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ ENOTTY, "ENOTTY", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ EAGAIN, "EAGAIN", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
	{ EOVERFLOW, "EOVERFLOW", { E_FAIL, E_FAIL, E_FAIL, E_FAIL } },
};

static unsigned int number;
static unsigned int failed;

static void report(int good, const char *what)
{
	printf("%sok %u %s\n", good ? "" : "not ", ++number, what);
	if (!good)
		failed++;
}

static void check_row(unsigned int row)
{
	unsigned int column, found;
	char words[64];
	int good = 1;

	for (column = 0; column < COUNT(commands); column++) {
		found = srlock_hresult(commands[column].number, rows[row].error);
		if (found == rows[row].expected[column])
			continue;
		printf("# %s of %s: %08X, not %08X\n", rows[row].name, commands[column].name,
		       found, rows[row].expected[column]);
		good = 0;
	}
	snprintf(words, sizeof(words), "the HRESULT of %s, for each command", rows[row].name);
	report(good, words);
}

/* Also of a caller whose structure is larger than the one of this header. */
static void check_larger(void)
{
	unsigned long acquire = _IOC(_IOC_READ | _IOC_WRITE, SRLOCK_IOC_MAGIC, 1, 4000);
	unsigned long release = _IOC(_IOC_READ | _IOC_WRITE, SRLOCK_IOC_MAGIC, 2, 4000);

	report(srlock_hresult(acquire, EINVAL) == CLIENT_NAME_IS_NOT_VALID &&
	       srlock_hresult(release, EPERM) == INVALID_HANDLE,
	       "the HRESULT of a command whose structure is larger");
}

int main(void)
{
	unsigned int row;

	printf("1..%u\n", (unsigned int)COUNT(rows) + 1);
	for (row = 0; row < COUNT(rows); row++)
		check_row(row);
	check_larger();

	return failed != 0;
}
